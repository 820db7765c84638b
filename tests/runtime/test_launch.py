"""Ranks are started, told who they are, and end together. What they do is a line of Python here."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from amad_bench.runtime import launch as launch_module
from amad_bench.runtime.interruption import Interrupted, interruptible
from amad_bench.runtime.launch import FAILED_ALONE, launch
from amad_bench.runtime.locks import held

SLEEPS = "import time; time.sleep(60)"


@pytest.fixture
def ranks_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """ranks_do(code, ...): what each rank does, in a folder of its own; `rank` is its number."""
    monkeypatch.chdir(tmp_path)

    def do(*codes: str) -> None:
        start = "import os, sys, signal, time\nfrom pathlib import Path\nrank = int(os.environ['RANK'])\n"
        monkeypatch.setattr(launch_module, "_COMMAND", f"{start}exec({list(codes)!r}[rank])")

    return do


def test_ranks_know_who_they_are_and_where_they_meet(ranks_do, tmp_path):
    """The socket that is open already is the one whose port all are told."""
    write = (
        "import socket\n"
        "e = os.environ\n"
        "Path(str(rank)).write_text(' '.join([*sys.argv[1:], e['RANK'], e['LOCAL_RANK'], e['WORLD_SIZE'],"
        " e['LOCAL_WORLD_SIZE'], e['MASTER_ADDR'], e['MASTER_PORT']]))\n"
    )
    accept = "s = socket.socket(fileno=int(e['AMAD_BENCH_LISTENER'])); s.accept()[0].sendall(b'met')\n"
    connect = (
        "assert e['AMAD_BENCH_LISTENER'] == ''\n"
        "assert socket.create_connection((e['MASTER_ADDR'], int(e['MASTER_PORT'])), 10).recv(3) == b'met'\n"
    )
    ranks_do(write + accept, write + connect)
    assert launch(["run", "--x"], 2) == 0
    first, second = ((tmp_path / str(rank)).read_text().split() for rank in range(2))
    assert first[:6] == ["run", "--x", "0", "0", "2", "2"]
    assert second[:6] == ["run", "--x", "1", "1", "2", "2"]
    assert first[6:] == second[6:]
    assert first[6] == "127.0.0.1"


def test_one_that_is_killed_ends_the_others(ranks_do, capfd, monkeypatch):
    monkeypatch.setattr(launch_module, "GRACE", 0.2)
    ranks_do(SLEEPS, "os.kill(os.getpid(), signal.SIGKILL)")
    started = time.monotonic()
    assert launch([], 2) == 1
    assert time.monotonic() - started < 30
    assert "rank 1 of 2 was ended by SIGKILL, and with it the others" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        (("sys.exit(1)", "sys.exit(2)"), 2),  # the first has lost the second, whose user made a mistake
        (("sys.exit(7)", "pass"), 7),
        (("sys.exit(1)", f"sys.exit({FAILED_ALONE})"), FAILED_ALONE),
        ((SLEEPS, f"sys.exit({FAILED_ALONE})"), FAILED_ALONE),
        (("sys.exit(1)", "os.kill(os.getpid(), signal.SIGSEGV)"), 1),
    ],
)
def test_the_exit_code_is_that_of_the_one_that_failed(ranks_do, monkeypatch, codes, expected):
    monkeypatch.setattr(launch_module, "GRACE", 1.0)
    ranks_do(*codes)
    assert launch([], 2) == expected


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_reaches_all_once_and_is_waited_for(ranks_do, tmp_path, monkeypatch, number):
    """Longer than the others are waited for after a failure."""
    monkeypatch.setattr(launch_module, "GRACE", 0.3)
    waits = (
        "got = []\n"
        "for n in (signal.SIGTERM, signal.SIGINT): signal.signal(n, lambda n, _: got.append(n))\n"
        "Path(f'ready{rank}').touch()\n"
        "while not got: time.sleep(0.01)\n"
        "time.sleep(1)\n"  # as a checkpoint takes
        "Path(f'got{rank}').write_text(str(got))\n"
        "sys.exit(128 + got[0])"
    )
    both_ready = (
        f"import os, time; from pathlib import Path\n"
        f"while not (Path('ready0').exists() and Path('ready1').exists()): time.sleep(0.01)\n"
        f"os.kill({os.getpid()}, {int(number)})"
    )
    ranks_do(waits, waits)
    asking = subprocess.Popen([sys.executable, "-c", both_ready])
    with asking, pytest.raises(Interrupted) as caught, interruptible():
        launch([], 2)
    assert caught.value.number == number
    assert [(tmp_path / f"got{rank}").read_text() for rank in range(2)] == [f"[{int(number)}]"] * 2


def test_who_started_them_is_killed_and_they_end(tmp_path):
    """By kill -9, of which it can tell nobody."""
    rank = (
        "import os, time; from pathlib import Path\n"
        "from amad_bench.runtime.ranks import end_with_starter\n"
        "end_with_starter(); Path(os.environ['RANK']).write_text(str(os.getpid())); time.sleep(60)"
    )
    starter = (
        f"from amad_bench.runtime import launch; launch._COMMAND = {rank!r}\n"
        "from amad_bench.runtime.interruption import interruptible\n"
        "with interruptible(): launch.launch([], 2)"
    )
    with subprocess.Popen([sys.executable, "-c", starter], cwd=tmp_path) as process:
        found = [tmp_path / str(number) for number in range(2)]
        _until(lambda: all(path.exists() and path.read_text() for path in found))
        process.kill()
    pids = [int(path.read_text()) for path in found]
    _until(lambda: not any(_alive(pid) for pid in pids))


def test_ranks_keep_the_starter_s_locks_until_they_end(tmp_path):
    """kill -9 of it must not let another run onto their GPUs, where they still finish a step. Nor does what
    they have forked keep them any longer."""
    rank = (
        "import os, signal, time; from pathlib import Path\n"
        "from amad_bench.runtime.ranks import end_with_starter\n"
        "signal.signal(signal.SIGTERM, lambda *_: Path('asked').touch())\n"
        "end_with_starter()\n"
        "if os.environ['RANK'] == '0':\n"
        "    if (worker := os.fork()) == 0: time.sleep(60); os._exit(0)\n"
        "    Path('worker').write_text(str(worker)); Path('0').touch()\n"
        "    while not Path('end').exists(): time.sleep(0.05)"
    )
    starter = (
        f"from amad_bench.runtime import launch, locks; launch._COMMAND = {rank!r}\n"
        "from pathlib import Path; from amad_bench.runtime.interruption import interruptible\n"
        "locks.hold(Path('gpu.lock'))\n"
        "with interruptible(): launch.launch([], 2)"
    )
    with subprocess.Popen([sys.executable, "-c", starter], cwd=tmp_path) as process:
        _until((tmp_path / "0").exists)
        process.kill()
    try:
        _until((tmp_path / "asked").exists)
        assert held(tmp_path / "gpu.lock")
        (tmp_path / "end").touch()
        _until(lambda: not held(tmp_path / "gpu.lock"))
        assert _alive(int((tmp_path / "worker").read_text()))
    finally:
        (tmp_path / "end").touch()
        os.kill(int((tmp_path / "worker").read_text()), signal.SIGKILL)


def _until(done) -> None:
    for _ in range(600):
        if done():
            return
        time.sleep(0.05)
    raise AssertionError("not within half a minute")


def _alive(pid: int) -> bool:
    """Nobody waits for the child of a dead process in a container: it may stay as a zombie."""
    status = Path(f"/proc/{pid}/status")
    try:
        return "\nState:\tZ" not in status.read_text()
    except OSError:
        return False
