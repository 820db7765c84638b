"""The shipped configs whose statements are made across blocks have what that takes: blocks of their own."""

from collections import Counter, defaultdict
from pathlib import Path

import pytest

from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import possible_plan
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run

MAIN = {"ce", "logit_kd", "one_to_one", "student_mean", "amad_kl", "amad_kl_sharp"}


def planned(repository: Path, name: str) -> Plan:
    return possible_plan(load_config(repository / f"configs/{name}.yaml"))


def block(run: Run) -> tuple[str, str, str]:
    assert run.config.block is not None
    return run.config.family, run.config.task, run.config.block.pair


def compared(plan: Plan, budget: str, teacher: str = "none", student: str = "none") -> dict[str, set[str]]:
    """By block the losses that a setting of it has."""
    found = defaultdict(set)
    for run in plan.runs:
        taught_after = run.config.teacher_pretraining or teacher
        of_setting = (taught_after, run.config.pretraining) == (teacher, student)
        if run.kind == "student" and of_setting and budget in run.budget.split(" | "):
            found[" ".join(block(run))].add(run.config.loss.label)
    return found


@pytest.mark.parametrize(
    ("name", "runs", "blocks"), [("default", 65, 5), ("night", 730, 15), ("gpu", 2360, 15)]
)
def test_blocks_share_neither_images_nor_seeds(repository: Path, name: str, runs: int, blocks: int) -> None:
    plan = planned(repository, name)
    assert (len(plan.runs), plan.skipped) == (runs, [])
    images, seeds = defaultdict(set), defaultdict(set)
    for run in plan.runs:
        if run.kind != "pretrain":
            images[block(run)].add(run.config.dataset.options["seed"])
            seeds[block(run)].add((run.kind, run.config.seeds.data_order))
    assert len(images) == blocks
    assert all(len(own) == 1 for own in images.values())
    assert len(set.union(*images.values())) == blocks
    assert len(set.union(*seeds.values())) == sum(map(len, seeds.values()))


def test_default_compares_the_main_losses_at_one_gap(repository: Path) -> None:
    found = compared(planned(repository, "default"), "steps")
    assert len(found) == 5
    assert all(losses == MAIN and own.endswith("8 -> 2") for own, losses in found.items())


def test_night_has_equal_heads_two_gaps_and_both_axes(repository: Path) -> None:
    plan = planned(repository, "night")
    at_steps, at_flops = compared(plan, "steps"), compared(plan, "flops")
    assert Counter(own.split(" ", 2)[2] for own in at_steps) == {"8 -> 8": 5, "8 -> 4": 5, "8 -> 2": 5}
    assert all(losses == MAIN | {"head_mean"} for losses in at_steps.values())
    assert len(at_flops) == 5
    assert all(losses == MAIN - {"amad_kl_sharp"} for losses in at_flops.values())
    for student in ("none", "vl"):
        assert len(compared(plan, "steps", "vl", student)) >= 5


def test_gpu_has_a_head_grid_and_every_loss(repository: Path) -> None:
    plan = planned(repository, "gpu")
    found = compared(plan, "steps")
    for family in ("vlt5", "blip"):
        grid = {own: losses for own, losses in found.items() if own.startswith(f"{family} vqa")}
        assert len(grid) == 6
        assert all(losses >= MAIN for losses in grid.values())
        assert sum("8 -> 8" not in own for own in grid) == 5  # with unequal heads: a family's own statement
    at_one_gap = [losses for own, losses in found.items() if own.endswith("8 -> 2")]
    assert [len(losses) for losses in at_one_gap] == [17] * 5
    assert len(set.union(*found.values())) == 19
    assert len(compared(plan, "flops")) == 5
    of_blip = [own for own in compared(plan, "steps", "vl") if own.startswith("blip")]
    assert len(of_blip) == 7  # the pairs of VQA, and captioning
    assert Counter(run.config.replicate for run in plan.runs if run.kind == "teacher").keys() == set(
        range(10)
    )
