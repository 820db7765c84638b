"""The number of devices that a run is trained on."""

import pytest

from amad_bench.plan.devices import devices_of
from amad_bench.runtime.errors import UserError
from tests.training.conftest import pick, tiny_plan  # noqa: F401


def test_teachers_and_students_are_trained_on_all_that_are_asked_for(tiny_plan):  # noqa: F811
    plan = tiny_plan()
    for label in ("teacher", "ce", "amad_kl"):
        assert [devices_of(pick(plan, "vlt5", "vqa", label), number) for number in (1, 2, 8)] == [1, 2, 8]


def test_a_batch_has_an_example_for_each(tiny_plan):  # noqa: F811
    run = pick(tiny_plan(), "vlt5", "vqa", "teacher")
    with pytest.raises(UserError, match=f"gpus_per_run: 9, but a batch of {run.id} has 8 examples; lower"):
        devices_of(run, 9)


@pytest.mark.parametrize(
    ("family", "condition", "refused"),
    [("vlt5", "text", False), ("vlt5", "vl", False), ("blip", "text", False), ("blip", "vl", True)],
)
def test_a_pretraining_has_one_and_a_contrast_is_refused_more(tiny_plan, family, condition, refused):  # noqa: F811
    plan = tiny_plan(condition=condition)
    run = next(run for run in plan.runs if run.kind == "pretrain" and run.config.family == family)
    assert devices_of(run, 1) == 1
    if not refused:
        assert devices_of(run, 4) == 1
        return
    with pytest.raises(UserError, match="contrasts all images of a batch"):
        devices_of(run, 2)
