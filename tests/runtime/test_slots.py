"""Slots on GPUs: real processes on a machine whose GPUs are not there."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from amad_bench.runtime import gpus, slots
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.slots import WHOLE, Part, place, taken
from tests.conftest import REPOSITORY
from tests.runtime.gpu_machine import gpu_machine, instance_of, uuid_of

# A run: takes its place before torch, says where, and computes until it is told to end.
RUN = """
import os, sys
from amad_bench.runtime.slots import Part, place, taken
devices, one, of = map(int, sys.argv[1:])
with taken(devices, Part(one, of)):
    assert "torch" not in sys.modules
    if os.environ.get("FORKS"):
        child = os.fork()
        if not child:
            import time; time.sleep(60)
        print(child, flush=True)
    own = place()
    names = "-" if own is None else ",".join(own.gpus)
    print(os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("CUDA_DEVICE_ORDER"), names, flush=True)
    sys.stdin.readline()
"""
NAMES = ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "LOCAL_RANK")
PATIENCE = 30.0
QUIET = 0.7  # seconds in which nobody else should come in


class Started:
    """A process and the lines that it has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.lines = process, list[str]()
        assert process.stdout is not None
        self._listener = threading.Thread(target=self._listen, args=[process.stdout], daemon=True)
        self._listener.start()

    def _listen(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self.lines.append(line.strip())

    @property
    def inside(self) -> bool:
        return bool(self.lines) and self.process.poll() is None

    @property
    def gpu(self) -> str:
        return self.lines[-1].split()[2]

    def end(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        assert self.process.wait(PATIENCE) == 0

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        self.kill()
        self._listener.join(PATIENCE)
        for stream in (self.process.stdin, self.process.stderr):
            assert stream is not None
            stream.close()


class Machine:
    def __init__(self, folder: Path) -> None:
        self.folder, self.started = folder, list[Started]()
        self.variables = {}

    def has(self, number: int, *instances: int) -> None:
        self.variables = gpu_machine(self.folder, number, instances)

    def environment(self, **variables: str) -> dict[str, str]:
        known = {k: v for k, v in os.environ.items() if k not in NAMES and not k.startswith("SLURM_")}
        return known | self.variables | {"PYTHONPATH": str(REPOSITORY)} | variables

    def start(self, devices: int = 1, part: Part = WHOLE, **variables: str) -> Started:
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(devices), str(part.taken), str(part.parts)],
            env=self.environment(**variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(Started(process))
        return self.started[-1]

    def inside(self) -> list[Started]:
        return [run for run in self.started if run.inside]

    def comes_in(self, number: int = 1) -> list[Started]:
        """Those inside, as soon as they are so many."""
        ends = time.monotonic() + PATIENCE
        while len(self.inside()) < number and time.monotonic() < ends:
            time.sleep(0.02)
        return self.inside()

    def says(self, **variables: str) -> str:
        """What one run says of its place; it ends before the next one starts."""
        run = self.start(**variables)
        self.comes_in()
        run.end()
        return run.lines[-1]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    yield made
    for run in made.started:
        run.close()


@pytest.mark.slow
@pytest.mark.parametrize("part", [WHOLE, Part(1, 2), Part(4, 8)])
def test_eight_runs_on_two_gpus_are_never_more_than_there_is_room_for(machine: Machine, part: Part) -> None:
    machine.has(2)
    waiting = [machine.start(part=part) for _ in range(8)]
    room = 2 * part.runs
    had_turn: set[int] = set()
    for turn in range(8):
        expected = min(room, len(waiting))
        inside = machine.comes_in(expected)
        if turn < 2:
            time.sleep(QUIET)
        assert len(inside) == len(machine.inside()) == expected
        by_gpu = Counter(run.gpu for run in inside)
        assert set(by_gpu) <= {uuid_of(0), uuid_of(1)}
        assert max(by_gpu.values()) <= part.runs  # exactly that, as long as enough are waiting:
        assert expected < room or set(by_gpu.values()) == {part.runs}
        had_turn |= {run.process.pid for run in inside}
        leaves = inside[turn % len(inside)]
        waiting.remove(leaves)
        leaves.end() if turn % 3 == 2 else leaves.kill()
    assert len(had_turn) == 8


@pytest.mark.parametrize(
    ("preset", "said"),
    [
        ({}, f"0 PCI_BUS_ID {uuid_of(0)}"),
        ({"CUDA_VISIBLE_DEVICES": "2,1"}, f"2 PCI_BUS_ID {uuid_of(2)}"),
        ({"CUDA_VISIBLE_DEVICES": uuid_of(1)[:12]}, f"{uuid_of(1)[:12]} PCI_BUS_ID {uuid_of(1)}"),
        ({"CUDA_VISIBLE_DEVICES": ""}, " None -"),
        # SLURM has placed it, on one GPU or on none
        ({"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "1"}, f"1 PCI_BUS_ID {uuid_of(1)}"),
        ({"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "NoDevFiles"}, "NoDevFiles None -"),
        (
            {"SLURM_JOB_ID": "7", "SLURM_JOB_GPUS": "1"},
            f"None PCI_BUS_ID {uuid_of(0)},{uuid_of(1)},{uuid_of(2)}",
        ),
        # Snakemake itself is SLURM's job; a job without GPUs of its own on a machine that has some
        ({"SLURM_JOB_ID": "7", "CUDA_VISIBLE_DEVICES": "1,2"}, f"1 PCI_BUS_ID {uuid_of(1)}"),
        ({"SLURM_JOB_ID": "7"}, f"0 PCI_BUS_ID {uuid_of(0)}"),
        ({"LOCAL_RANK": "1", "CUDA_VISIBLE_DEVICES": "1,2"}, f"1,2 PCI_BUS_ID {uuid_of(1)},{uuid_of(2)}"),
    ],
)
def test_a_run_sees_its_place_alone(machine: Machine, preset: dict[str, str], said: str) -> None:
    machine.has(3)
    assert machine.says(**preset) == said.strip()


def test_the_gpu_with_the_most_room_comes_first(machine: Machine) -> None:
    machine.has(2)
    for number in range(1, 5):
        machine.start(part=Part(1, 4))
        found = Counter(run.gpu for run in machine.comes_in(number))
        assert max(found.values()) == (number + 1) // 2


def test_a_place_within_a_preset_is_not_given_twice(machine: Machine) -> None:
    """By whatever name a GPU is called."""
    machine.has(2)
    first = machine.start(CUDA_VISIBLE_DEVICES="1")
    machine.comes_in()
    second = machine.start(CUDA_VISIBLE_DEVICES=f"{uuid_of(1)},{uuid_of(0)}")
    machine.comes_in(2)
    third = machine.start(CUDA_VISIBLE_DEVICES="1")
    time.sleep(QUIET)
    assert [first.gpu, second.gpu, third.inside] == [uuid_of(1), uuid_of(0), False]
    first.kill()
    assert third in machine.comes_in(2)


def test_instances_are_places_of_their_own(machine: Machine) -> None:
    machine.has(2, 2, 0)
    machine.start()
    machine.start()
    machine.start()
    found = {run.gpu for run in machine.comes_in(3)}
    assert found == {instance_of(0, 0), instance_of(0, 1), uuid_of(1)}


def test_a_process_that_was_forked_inside_does_not_keep_the_place(machine: Machine) -> None:
    """As a worker that hangs in a read, when its run was killed."""
    machine.has(1)
    first = machine.start(FORKS="1")
    ends = time.monotonic() + PATIENCE
    while len(first.lines) < 2 and time.monotonic() < ends:
        time.sleep(0.02)
    child = int(first.lines[0])
    try:
        second = machine.start()
        time.sleep(QUIET)
        assert not second.inside
        first.kill()
        assert second in machine.comes_in()
        os.kill(child, 0)  # it lives
    finally:
        os.kill(child, signal.SIGKILL)


def test_who_takes_a_whole_gpu_is_not_passed_for_ever(machine: Machine) -> None:
    machine.has(1)
    small = [machine.start(part=Part(1, 2)) for _ in range(2)]
    machine.comes_in(2)
    large = machine.start()
    time.sleep(QUIET)
    later = machine.start(part=Part(1, 2))
    small[0].end()
    time.sleep(QUIET)
    assert machine.inside() == [small[1]]  # there is room for `later`, which stands behind
    small[1].end()
    assert machine.comes_in() == [large]
    large.end()
    assert machine.comes_in() == [later]


def test_several_gpus_are_taken_whole_and_none_before_all_are_free(machine: Machine) -> None:
    machine.has(3)
    small = machine.start(part=Part(1, 8), CUDA_VISIBLE_DEVICES="0")
    machine.comes_in()
    both = machine.start(devices=2, CUDA_VISIBLE_DEVICES="0,1")
    time.sleep(QUIET)
    other = machine.start(CUDA_VISIBLE_DEVICES="1")
    assert machine.comes_in(2) == [small, other]
    small.end()
    other.end()
    assert machine.comes_in() == [both]
    assert both.lines[-1].split()[0] == "0,1"
    assert both.gpu == f"{uuid_of(0)},{uuid_of(1)}"
    third = machine.start(part=Part(1, 8))
    machine.comes_in(2)
    assert third.gpu == uuid_of(2)


def test_another_process_keeps_its_environment(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that goes on after its run, such as that of the tests."""
    machine.has(2)
    for name, value in machine.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(slots.tempfile, "tempdir", None)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    before = dict(os.environ)
    for _ in range(3):  # and its place is free again
        with taken(part=Part(2, 8)):
            own = place()
            assert own is not None
            assert (own.gpus, own.runs) == ((uuid_of(0),), 4)
            assert os.environ["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
        assert (dict(os.environ), place()) == (before, None)


@pytest.fixture
def here(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """This process is on the machine."""
    machine.has(2)
    monkeypatch.setenv("PATH", machine.variables["PATH"])
    monkeypatch.setattr(slots.tempfile, "tempdir", machine.variables["TMPDIR"])
    for name in (*NAMES, "SLURM_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    return machine


def test_fewer_gpus_than_a_run_takes_are_one_line(here: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(UserError, match=r"^gpus_per_run: 3, but 2 GPUs can be used here; lower it$"),
        taken(3),
    ):
        pass
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    with pytest.raises(UserError, match=r"^gpus_per_run: 2, but 1 GPU can be used here; lower it$"), taken(2):
        pass
    here.has(1, 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setenv("PATH", here.variables["PATH"])
    gpus._as_listed.cache_clear()
    with pytest.raises(UserError, match=r"^gpus_per_run: 2, but MIG instances cannot work"), taken(2):
        pass


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_folder_without_locks_is_one_line(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(_handle: int, _how: int) -> None:  # no such file system can be mounted for a test
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    for part in (WHOLE, Part(1, 2)):
        with pytest.raises(UserError) as caught, taken(part=part):
            pass
        assert f"cannot be locked ({os.strerror(number)})" in str(caught.value)
        assert "set TMPDIR to a folder on a local disk" in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_folder_of_somebody_else_is_refused(here: Machine) -> None:
    """As one that was put there to have this user write elsewhere."""
    elsewhere = here.folder / "elsewhere"
    elsewhere.mkdir()
    (Path(here.variables["TMPDIR"]) / f"amad-bench-gpus-{os.getuid()}").symlink_to(elsewhere)
    with pytest.raises(UserError, match="no folder of yours; remove it"), taken():
        pass
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("dangling", [False, True])
def test_what_is_no_folder_in_its_place_is_refused(here: Machine, dangling: bool) -> None:
    path = Path(here.variables["TMPDIR"]) / f"amad-bench-gpus-{os.getuid()}"
    path.symlink_to("nowhere") if dangling else path.touch()
    with pytest.raises(UserError, match="no folder of yours; remove it"), taken():
        pass


def test_a_long_wait_is_said_once(
    here: Machine, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    holders = [here.start() for _ in range(2)]
    here.comes_in(2)
    monkeypatch.setattr(slots, "SILENT", 0.05)
    monkeypatch.setattr(slots, "POLL", 0.02)
    threading.Timer(0.5, holders[0].kill).start()
    with taken(part=Part(1, 2)):
        pass
    said = "amad-bench: waiting for a free GPU: 2 GPUs can be used here, with room for 2 runs each\n"
    assert capfd.readouterr().err == said
