"""What blocks can have of their own."""

import pytest

from tests.plan.config.checks.test_pretraining import TRAINING

ON_ONE_DRAW = (
    "scenes_per: block needs a task on generated images (scenes); a real data set is one draw, which its "
    "blocks share: remove it"
)
OTHER_TEACHERS = (
    "scenes_per: block needs teachers that are trained on their block's images; write teacher_per: block "
    "(or replicate)"
)


@pytest.mark.parametrize("teacher_per", ["sweep", "block", "replicate"])
def test_teachers_of_a_sweep_do_not_know_the_images_of_a_block(raw, load, errors, teacher_per) -> None:
    raw |= {"teacher_per": teacher_per, "scenes_per": "block"}
    if teacher_per == "sweep":
        assert errors(raw) == [OTHER_TEACHERS]
    else:
        load(raw)


@pytest.mark.parametrize("teacher_per", ["sweep", "block"])
def test_a_real_data_set_is_one_draw_of_images(raw, load, errors, teacher_per) -> None:
    raw |= {"teacher_per": teacher_per, "scenes_per": "block"}
    raw["datasets"]["coco_mini"] = {}
    del raw["tasks"][0]
    raw["tasks"][0]["dataset"] = "coco_mini"
    assert errors(raw) == [ON_ONE_DRAW]
    load(raw | {"scenes_per": "sweep"})


def test_students_without_a_teacher_are_counted_once(raw, load) -> None:
    raw["pretraining"] = {
        "teacher": ["none", "text", "vl"],
        "training": {
            family: {condition: dict(TRAINING) for condition in ("text", "vl")} for family in raw["models"]
        },
    }
    raw["models"]["vlt5"]["order_embedding"] = True
    assert load(raw).students == 2 * (1 + 3 * 3) * 2  # tasks, `ce` and three others, replicates
