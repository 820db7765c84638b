"""Checkpoints as files: two are kept, one that cannot be read is set aside, writing takes 2 % at most."""

import errno
import json
from pathlib import Path

import pytest
import torch

from amad_bench.runtime.errors import UserError
from amad_bench.training import checkpoints as module
from amad_bench.training.checkpoints import Checkpoint, Checkpoints
from amad_bench.training.optim import Trained


def checkpoint(step: int) -> Checkpoint:
    tensors = {"a": torch.full((3,), float(step)), "b/c": torch.tensor(step)}
    return Checkpoint(step, tensors, {"seconds": 1.5 * step, "big": 2**100})


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints", "run-1", 60.0, {"torch": "2"})


def step_of(found: Checkpoint | None) -> int | None:
    return None if found is None else found.step


def test_what_is_written_comes_back(checkpoints):
    assert checkpoints.latest() is None
    checkpoints.write(checkpoint(7))
    found = checkpoints.latest()
    assert (found.step, found.facts) == (7, {"seconds": 10.5, "big": 2**100})
    assert found.tensors["a"].tolist() == [7.0, 7.0, 7.0]
    assert (found.tensors["b/c"].item(), found.tensors["b/c"].dtype) == (7, torch.int64)
    assert checkpoints.seconds_before == 10.5


def test_the_latest_two_are_kept(checkpoints):
    for step in (5, 40, 300):
        checkpoints.write(checkpoint(step))
    names = sorted(path.name for path in checkpoints.folder.iterdir())
    kept = ("000000040", "000000300")
    assert names == [f"{step}.{suffix}" for step in kept for suffix in ("json", "safetensors")]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def foreign(path: Path) -> None:
    path.write_text(path.read_text().replace("run-1", "run-2"))


SPOILT = [
    ("safetensors", cut),
    ("safetensors", flip),
    ("safetensors", lambda path: path.unlink()),
    ("safetensors", lambda path: path.write_bytes(b"")),
    ("json", cut),
    ("json", foreign),
    ("json", lambda path: path.write_text("[]")),
    ("json", lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | {"facts": 3}))),
    ("json", lambda path: path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 0}))),
]


@pytest.mark.parametrize(("suffix", "spoil"), SPOILT)
def test_one_that_cannot_be_read_is_named_and_set_aside_and_the_one_before_is_used(
    checkpoints, suffix, spoil, capsys
):
    checkpoints.write(checkpoint(5))
    checkpoints.write(checkpoint(6))
    broken = checkpoints.folder / f"000000006.{suffix}"
    spoil(broken)
    assert step_of(checkpoints.latest()) == 5
    assert str(broken) in (said := capsys.readouterr().err)
    assert said.count("\n") == 1
    assert said.endswith("; set aside\n")
    left = {path.name for path in checkpoints.folder.iterdir()}
    assert "000000006.json.unreadable" in left
    assert not {"000000006.json", "000000006.safetensors"} & left
    assert step_of(checkpoints.latest()) == 5
    assert capsys.readouterr().err == ""
    checkpoints.write(checkpoint(6))
    assert step_of(checkpoints.latest()) == 6


def test_one_without_its_record_is_not_there(checkpoints):
    """As when the process was killed between the two files."""
    checkpoints.write(checkpoint(5))
    checkpoints.write(checkpoint(6))
    (checkpoints.folder / "000000006.json").unlink()
    assert step_of(checkpoints.latest()) == 5


def test_a_full_disk_leaves_those_before(checkpoints, monkeypatch):
    checkpoints.write(checkpoint(5))
    before = {path.name: path.read_bytes() for path in checkpoints.folder.iterdir()}

    def full(self, content):
        with self.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoints.write(checkpoint(6))
    monkeypatch.undo()
    assert {path.name: path.read_bytes() for path in checkpoints.folder.iterdir()} == before
    assert step_of(checkpoints.latest()) == 5


def test_a_disk_that_gives_back_something_else_is_named(checkpoints, monkeypatch):
    checkpoints.write(checkpoint(5))
    monkeypatch.setattr(module, "read_sha256", lambda _: "0")
    with pytest.raises(UserError, match=r"000000006\.safetensors: what is read back is not what was written"):
        checkpoints.write(checkpoint(6))
    monkeypatch.undo()
    assert step_of(checkpoints.latest()) == 5


@pytest.mark.parametrize(("every_s", "took", "waits"), [(60.0, 0.5, 60.0), (60.0, 4.0, 200.0)])
def test_writing_takes_a_fiftieth_of_the_time_at_most(tmp_path, monkeypatch, every_s, took, waits):
    now = [1000.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    checkpoints = Checkpoints(tmp_path, "run-1", every_s, {})
    now[0] += every_s - 0.1
    assert not checkpoints.due()
    now[0] += 0.1
    assert checkpoints.due()
    save = module.save

    def slow(tensors):
        now[0] += took
        return save(tensors)

    monkeypatch.setattr(module, "save", slow)
    checkpoints.write(checkpoint(5))
    now[0] += waits - 0.1
    assert not checkpoints.due()
    now[0] += 0.1
    assert checkpoints.due()


def test_who_goes_on_with_other_software_says_so(checkpoints, capsys):
    checkpoints.write(checkpoint(5))
    other = Checkpoints(checkpoints.folder, "run-1", 60.0, {"torch": "3"})
    assert step_of(other.latest()) == 5
    assert capsys.readouterr().out == "run-1: goes on with torch 3, begun with 2\n"


def test_the_end_of_a_training_is_noted(checkpoints, tmp_path, capsys):
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"weights")
    assert checkpoints.trained(weights) is None
    checkpoints.write_trained(
        Trained(best_step=4, steps=6, seconds=2.5, continued=1, extra_params=3), weights
    )
    assert checkpoints.trained(weights) == Trained(4, 6, 2.5, continued=2, extra_params=3)
    assert checkpoints.seconds_before == 2.5
    foreign(checkpoints.folder / "trained.json")
    assert checkpoints.trained(weights) is None
    (checkpoints.folder / "trained.json").write_text("{")
    assert checkpoints.trained(weights) is None
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("spoil", [cut, lambda path: path.unlink()])
def test_without_its_weights_a_training_has_not_ended(checkpoints, tmp_path, capsys, spoil):
    """A power cut may lose them, since only checkpoints are synced to the disk."""
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(b"weights")
    checkpoints.write_trained(Trained(best_step=4, steps=6, seconds=2.5), weights)
    spoil(weights)
    assert checkpoints.trained(weights) is None
    assert f"{weights}: not the weights of the end; goes on" in capsys.readouterr().err


def test_what_kills_left_behind_goes_with_the_next(checkpoints):
    """Between the two files of a checkpoint, and between those of one that goes."""
    checkpoints.write(checkpoint(5))
    for name in ("000000003.safetensors", "000000004.json"):
        (checkpoints.folder / name).touch()
    checkpoints.write(checkpoint(6))
    assert {path.stem for path in checkpoints.folder.iterdir()} == {"000000005", "000000006"}


@pytest.mark.parametrize(("before", "now"), [(1, 2), (2, 1), (2, 4)])
def test_those_of_another_number_of_ranks_are_set_aside_with_one_line(checkpoints, before, now, capsys):
    old, new = (Checkpoints(checkpoints.folder, "run-1", 60.0, {"torch": "2"}, n) for n in (before, now))
    for step in (5, 6):
        old.write(checkpoint(step))
    assert new.latest() is None
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"of {before} rank(s), and now there are {now} (gpus_per_run); set aside, it begins afresh" in said
    assert len([*checkpoints.folder.glob("*.other-ranks")]) == 4
    assert new.latest() is None
    assert capsys.readouterr().err == ""
    new.write(checkpoint(1))
    assert step_of(new.latest()) == 1


def test_one_from_before_there_were_ranks_is_one_process_s(checkpoints):
    checkpoints.write(checkpoint(5))
    record = checkpoints.folder / "000000005.json"
    content = json.loads(record.read_text())
    assert content.pop("ranks") == 1
    record.write_text(json.dumps(content))
    assert step_of(checkpoints.latest()) == 5
