"""GPUs are counted without torch, and CUDA_VISIBLE_DEVICES is read as CUDA reads it."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from amad_bench.runtime import gpus
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.gpus import Gpu
from tests.runtime.gpu_machine import gpu_machine, instance_of, uuid_of

Machine = Callable[..., None]


@pytest.fixture(autouse=True)
def no_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever the machine of the test has."""
    monkeypatch.setattr(gpus, "ROOT", tmp_path)
    monkeypatch.setattr(gpus, "_WSL", str(tmp_path / "nowhere"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    def make(number: int, instances: Sequence[int] = ()) -> None:
        found = gpu_machine(tmp_path / "bin", number, instances)
        monkeypatch.setenv("PATH", f"{found['PATH']}:/usr/bin:/bin")

    return make


def names(asked: str | None) -> list[str]:
    return [gpu.name for gpu in gpus.visible({} if asked is None else {"CUDA_VISIBLE_DEVICES": asked})]


def test_a_machine_without_a_gpu_has_none_whatever_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not gpus.present()
    assert gpus.counted() is None
    for asked in (None, "", "0", "0,0", "GPU-1"):
        assert names(asked) == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    assert gpus.counted() is None


def test_as_nvidia_smi_lists_them(machine: Machine) -> None:
    machine(2)
    assert gpus.visible({}) == [Gpu("0", uuid_of(0)), Gpu("1", uuid_of(1))]
    assert gpus.counted() == 2


def test_as_the_driver_shows_them(tmp_path: Path) -> None:
    """As in a container without nvidia-smi."""
    for address, text in (
        (
            "0000:b1:00.0",
            f"Model: \t\t NVIDIA H200\nIRQ:   \t\t 16\nGPU UUID: \t {uuid_of(1)}\nVideo BIOS: \t 96\n",
        ),
        ("0000:3b:00.0", f"GPU UUID: \t {uuid_of(0)}\n"),
        ("0000:d8:00.0", "GPU UUID: \t GPU-????????-????-????-????-????????????\n"),
    ):
        folder = tmp_path / "proc/driver/nvidia/gpus" / address
        folder.mkdir(parents=True)
        (folder / "information").write_text(text)
    assert gpus.visible({}) == [Gpu("0", uuid_of(0)), Gpu("1", uuid_of(1)), Gpu("2", "2")]


def test_as_their_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "dev").mkdir()
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm", "nvidia-modeset"):
        (tmp_path / "dev" / name).touch()
    assert names(None) == ["0", "1"]
    assert names("1") == ["1"]
    assert names("GPU-abc,GPU-def") == ["GPU-abc", "GPU-def"]  # nobody here knows their names


@pytest.mark.parametrize("script", ["echo broken >&2; exit 9", "kill -9 $$", "echo 'No devices were found'"])
def test_an_nvidia_smi_that_fails_is_not_the_last_word(machine: Machine, tmp_path: Path, script: str) -> None:
    """As after an update of the driver without a reboot: "Driver/library version mismatch"."""
    machine(2)
    (tmp_path / "bin/nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    assert gpus.cards() == ()
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()
    assert gpus.counted() == 1  # which cannot be used: see test_devices.py
    (tmp_path / "dev/nvidia0").touch()
    (tmp_path / "dev/nvidia1").touch()
    assert gpus.counted() == 2


A, B, C, D = map(uuid_of, range(4))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, ["0", "1", "2", "3"]),
        ("2,0", ["2", "0"]),
        (" 3 , 1 ", ["3", "1"]),
        ("03", ["3"]),
        # what stands behind something invalid does not count (CUDA's programming guide, "Env Vars")
        ("2,1,-1,3", ["2", "1"]),
        ("1,4,2", ["1"]),
        ("1,,2", ["1"]),
        ("1,x", ["1"]),
        (f"1,{A}", ["1"]),
        (f"{B},{A}", [B, A]),
        (f"{B[:12]}", [B[:12]]),  # as much of it as is unique
        (f"{B},GPU-9999,{A}", [B]),
        (f"{B},0", [B]),
        ("", []),
        ("-1", []),
        ("-1,0", []),
        ("NoDevFiles", []),
        ("none", []),
    ],
)
def test_what_cuda_visible_devices_leaves(machine: Machine, asked: str | None, expected: list[str]) -> None:
    machine(4)
    assert names(asked) == expected
    identities = {"0": A, "1": B, "2": C, "3": D}
    found = gpus.visible({} if asked is None else {"CUDA_VISIBLE_DEVICES": asked})
    by_prefix = {A[:12]: A, B[:12]: B}
    for gpu in found:  # by whatever name, a GPU is one
        assert gpu.identity == identities.get(gpu.name, by_prefix.get(gpu.name[:12]))


@pytest.mark.parametrize(
    ("asked", "there"),
    [
        ("4", "this machine's GPUs have the numbers 0 to 3"),
        ("GPU-9999", "this machine's GPUs have the numbers 0 to 3"),
        ("GPU-0000000", "this machine's GPUs have the numbers 0 to 3"),  # the beginning of all four
        ("gpu0", "this machine's GPUs have the numbers 0 to 3"),
        ("1,1", "names a GPU twice"),
        ("1,2,01", "names a GPU twice"),
        (f"{A},{A[:20]}", "names a GPU twice"),
    ],
)
def test_what_leaves_none_by_mistake_is_one_line(machine: Machine, asked: str, there: str) -> None:
    machine(4)
    with pytest.raises(UserError) as caught:
        names(asked)
    assert str(caught.value).startswith(f"CUDA_VISIBLE_DEVICES={asked}: ")
    assert there in str(caught.value)
    assert "\n" not in str(caught.value)


def test_instances_of_a_gpu_that_is_cut_up_are_used_one_by_one(machine: Machine) -> None:
    machine(3, [2, 0, 1])
    first, second, third = instance_of(0, 0), instance_of(0, 1), instance_of(2, 0)
    assert names(None) == [first, second, "1", third]
    assert names("0,1") == [first, second, "1"]
    assert names("1") == ["1"]
    assert names(uuid_of(2)) == [third]
    assert names(f"{third},{first}") == [third, first]
    assert [gpu.instance for gpu in gpus.visible({})] == [True, True, False, True]
    old = f"MIG-{uuid_of(0)}/1/0"  # the names that they had until driver 470
    assert names(old) == [old]
    with pytest.raises(UserError, match="names a GPU twice"):
        names(f"{first},{first}")
    with pytest.raises(UserError, match=r"numbers 0 to 2 \(MIG-"):
        names("MIG-9999")


def test_an_instance_alone_is_known_by_its_name(tmp_path: Path) -> None:
    """As in a job or a container that was given one, and sees no more."""
    (tmp_path / "dev").mkdir()
    (tmp_path / "dev/nvidiactl").touch()
    (found,) = gpus.visible({"CUDA_VISIBLE_DEVICES": instance_of(0, 1)})
    assert (found.name, found.instance) == (instance_of(0, 1), True)


def test_counting_imports_no_torch(machine: Machine, tmp_path: Path) -> None:
    machine(2)
    code = (
        "import sys; from amad_bench.runtime import devices; "
        "print(devices.count('auto'), 'torch' in sys.modules)"
    )
    environment = {
        "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
        "PYTHONPATH": str(Path(gpus.__file__).parents[2]),
    }
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["2", "False"], done.stderr
