"""Several processes train as one does: shares of a batch, sums, validations, texts."""

import json
import math

import pytest
import torch

from amad_bench.runtime import launch as launch_module
from amad_bench.runtime.interruption import interruptible
from amad_bench.runtime.launch import launch
from tests.training import rank_battery
from tests.training.rank_battery import ENTRIES, FEW, LABELS, PIECES

CASES = [(*entry, label) for entry in ENTRIES for label in LABELS]
CASES += [("vlt5", "vqa", "ce"), ("vlt5", "vqa", "amad_kl")]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def came(tmp_path_factory: pytest.TempPathFactory):
    """came[world][rank]: what each rank of so many has come to; 0: this process alone."""
    folder = tmp_path_factory.mktemp("ranks")
    rank_battery.write_config(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(launch_module, "_COMMAND", "from tests.training.rank_battery import main; main()")
        with interruptible():
            assert [launch([str(folder)], world) for world in (1, 2)] == [0, 0]
        patch.chdir(folder)
        found = {0: [(rank_battery.battery(folder, (1,)), rank_battery.evaluated(folder))]}
    for world in (1, 2):
        paths = [folder / f"{rank}of{world}.pt" for rank in range(world)]
        found[world] = [torch.load(path, weights_only=False) for path in paths]
    return found


@pytest.mark.parametrize(("family", "task", "label"), CASES)
def test_weights_are_those_of_one_process(came, family, task, label, record_property):
    """Whatever the loss, with batches and parts of unequal sizes and lengths."""
    (alone, _), *_ = came[0]
    expected = alone[family, task, label, 1].weights
    worst = 0.0
    for pieces in PIECES:
        first, second = (found[family, task, label, pieces] for found, _ in came[2])
        assert first.digest == second.digest
        worst = max(worst, float((first.weights - expected).abs().max()))
    record_property("largest difference", worst)
    print(f"{family} {task} {label}: {worst:.1e}")
    assert worst <= 1e-10


@pytest.mark.parametrize(("family", "task", "label"), [case for case in CASES if case[2] in FEW])
def test_one_rank_is_one_process_to_the_bit(came, family, task, label):
    (alone, _), *_ = came[0]
    (found, _), *_ = came[1]
    assert found[family, task, label, 1].digest == alone[family, task, label, 1].digest
    assert found[family, task, label, 1].log == alone[family, task, label, 1].log


@pytest.mark.parametrize(("family", "task", "label"), CASES)
def test_the_first_logs_whole_batches_and_the_other_nothing(came, family, task, label):
    (alone, _), *_ = came[0]
    (first, _), (second, _) = came[2]
    assert second[family, task, label, 4].log == ""
    expected, found = (
        [json.loads(line) for line in came_to.log.splitlines()]
        for came_to in (alone[family, task, label, 1], first[family, task, label, 4])
    )
    assert len(expected) == len(found) > 1
    for one, other in zip(expected, found, strict=True):
        assert one.keys() == other.keys()
        for name in one.keys() - {"alignment"}:
            assert other[name] == pytest.approx(one[name], rel=1e-6, abs=1e-9), name
        for key, aligned in one.get("alignment", {}).items():
            for rows in zip(aligned["rows"], other["alignment"][key]["rows"], strict=True):
                assert rows[1] == pytest.approx(rows[0], abs=2e-4)


def test_validation_and_texts_are_those_of_one_process_to_the_bit(came):
    (_, (numbers, texts)), *_ = came[0]
    assert math.isfinite(numbers[1])
    assert len(set(texts)) > 1
    for _, evaluated in came[2]:
        assert evaluated == (numbers, texts)


def test_there_is_something_to_compare(came):
    """Trainings of other losses, and of other data, come to other weights."""
    (alone, _), *_ = came[0]
    digests = {case: found.digest for case, found in alone.items()}
    assert len(set(digests.values())) >= len(digests) - 4  # some are special cases of others
