"""A lock that a killed Snakemake left behind goes only where it is certain that nobody holds it."""

import json
import os
import socket
import subprocess
import sys
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from amad_bench.runtime import locks
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.snakemake_lock import take_over
from tests.runtime.other_process import other_process

HERE = socket.gethostname()
TAKE = (
    "import os, sys, time; from pathlib import Path\n"
    "from amad_bench.runtime.snakemake_lock import take_over\n"
    "os.chdir(sys.argv[1]); print(take_over(Path('.snakemake')), flush=True); time.sleep(60)"
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """`.snakemake` in the working directory, with the locks of a Snakemake; what is held here is let go."""
    monkeypatch.chdir(tmp_path)
    lock(tmp_path)
    before = set(locks._handles)
    yield Path(".snakemake")
    for handle in locks._handles - before:
        locks.let_go(handle)


def lock(working_directory: Path) -> None:
    place = working_directory / ".snakemake/locks"
    place.mkdir(parents=True, exist_ok=True)
    for name in ("0.input.lock", "0.output.lock"):
        (place / name).write_text("results/x\n")


def locked(folder: Path) -> bool:
    return any((folder / "locks").glob("*.lock"))


def recorded(folder: Path, **facts: Any) -> None:
    (folder / "amad_bench.lock").write_text(json.dumps({"host": HERE, "boot": "b", "pid": 7} | facts))


def test_the_first_one_says_who_it_is(folder, capfd) -> None:
    for path in (folder / "locks").iterdir():
        path.unlink()
    assert take_over(folder)
    assert capfd.readouterr().err == ""
    own = json.loads((folder / "amad_bench.lock").read_text())
    assert (own["host"], own["pid"]) == (HERE, os.getpid())


def test_the_locks_of_one_that_was_killed_here_go_with_what_it_was_making(folder, capfd) -> None:
    made = Path("results/tables/runs.csv")
    made.parent.mkdir(parents=True)
    made.touch()
    note = folder / "incomplete" / urlsafe_b64encode(str(made).encode()).decode()
    note.parent.mkdir()
    note.write_text("{}")
    note.with_name(".nfs0001").touch()
    for path in (folder / "locks").iterdir():
        path.unlink()
    with other_process(TAKE, Path.cwd()) as (process, line):
        assert line == "True\n"
        lock(Path.cwd())  # as Snakemake does when it has read the Snakefile
        process.kill()
        process.wait()
        assert take_over(folder)
    assert not locked(folder)
    assert not made.exists()
    assert not note.exists()
    expected = f"amad-bench: Snakemake (process {process.pid} on {HERE}) was killed in this folder"
    assert capfd.readouterr().err == f"{expected}, its locks are removed\n"


def test_the_locks_of_one_that_lives_stay(folder, capfd) -> None:
    for path in (folder / "locks").iterdir():
        path.unlink()
    with other_process(TAKE, Path.cwd()) as (process, _):
        lock(Path.cwd())
        assert not take_over(folder)
    assert locked(folder)
    err = capfd.readouterr().err
    assert err == (
        f"amad-bench: Snakemake (process {process.pid} on {HERE}) works in this folder; "
        "wait for it, or stop it\n"
    )


def test_on_another_machine_nobody_can_tell(folder, capfd) -> None:
    recorded(folder, host="elsewhere")
    before = (folder / "amad_bench.lock").read_text()
    assert not take_over(folder)
    assert locked(folder)
    err = capfd.readouterr().err
    assert "Snakemake (process 7 on elsewhere) holds this folder's locks, and cannot be seen" in err
    assert "--unlock once\n" in err
    assert (folder / "amad_bench.lock").read_text() == before  # it still counts the next time


def test_another_name_on_the_same_kernel_is_here(folder) -> None:
    """As of a container that is started anew."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    if not boot.exists():
        pytest.skip("this kernel has no boot id")
    recorded(folder, host="elsewhere", boot=boot.read_text().strip())
    assert take_over(folder)
    assert not locked(folder)


def test_after_a_restart_of_the_machine_the_kernel_is_another(folder) -> None:
    recorded(folder, boot="before")
    assert take_over(folder)
    assert not locked(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", json.dumps({"host": HERE, "boot": "b", "pid": 7})])
def test_a_snakemake_that_does_not_say_so_may_run_here(folder, capfd, text, tmp_path) -> None:
    """One of an older version, or of another Snakefile."""
    (folder / "amad_bench.lock").write_text(text)
    program = tmp_path / "snakemake"
    program.write_text("import time; print('in', flush=True); time.sleep(60)")
    with subprocess.Popen([sys.executable, str(program), "--cores", "1"], stdout=-1) as older:
        assert older.stdout
        older.stdout.readline()
        assert not take_over(folder)
        older.kill()
    assert locked(folder)
    assert f"process {older.pid} runs Snakemake in this folder; if no Snakemake" in capfd.readouterr().err
    known = text.endswith("}")
    assert take_over(folder) == known  # else it may run on another machine
    assert locked(folder) != known


@pytest.mark.parametrize("dry", ["", "-n", "-np", "--dry-run", "--dryrun", "--jobs 1 --mode remote"])
def test_who_only_names_snakemake_or_looks_what_it_would_do_does_not_run_it(folder, tmp_path, dry) -> None:
    recorded(folder)
    code = "import time; print('in', flush=True); time.sleep(60)"
    program = tmp_path / "snakemake"
    program.write_text(code)
    started = [str(program), *dry.split()] if dry else ["-c", code, "snakemake"]
    command = [sys.executable, *started]
    with subprocess.Popen(["timeout", "60", *command], stdout=-1) as other:
        assert other.stdout
        other.stdout.readline()
        assert take_over(folder)
        other.kill()


def test_a_child_does_not_keep_what_its_parent_held(folder) -> None:
    """A command that outlives a killed Snakemake, or what was forked."""
    for path in (folder / "locks").iterdir():
        path.unlink()
    code = (
        "import os, subprocess, sys; from pathlib import Path\n"
        "from amad_bench.runtime.snakemake_lock import take_over\n"
        "os.chdir(sys.argv[1]); take_over(Path('.snakemake'))\n"
        "command = subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL)\n"
        "if not os.fork(): print(command.pid, os.getpid(), flush=True)\n"  # it has let go by then
        "os.close(1); __import__('time').sleep(60)"
    )
    with other_process(code, Path.cwd()) as (process, line):
        children = [int(word) for word in line.split()]
        try:
            process.kill()
            process.wait()
            assert take_over(folder)
        finally:
            for child in children:
                os.kill(child, 9)


def test_where_there_are_no_locks_snakemakes_own_has_to_do(folder, monkeypatch, capfd) -> None:
    def refuse(*_: object) -> None:
        raise UserError("cannot be locked")

    monkeypatch.setattr("amad_bench.runtime.snakemake_lock.hold", refuse)
    assert not take_over(folder)
    assert locked(folder)
    assert capfd.readouterr().err == ""
