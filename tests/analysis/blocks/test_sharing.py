"""What blocks share, by the columns of the table `runs`, for each way in which a config can let them."""

import pandas as pd
import pytest

from amad_bench.analysis.blocks.sharing import counted_as, drawn, photos, starts
from amad_bench.analysis.run_columns import run_columns
from amad_bench.plan.config.schema import Config
from amad_bench.plan.grid import possible_plan
from tests.analysis.conftest import make_raw
from tests.planned import GRID

VQA, CAPTIONING = ("vlt5", "vqa"), ("vlt5", "captioning")
BLIP = ("blip", "vqa")


def blocks_of(tasks=(VQA, BLIP), gaps=((8, 2), (8, 4)), **changes) -> list[pd.DataFrame]:
    """Rows of the students of each block, and of their teachers, in plan order."""
    raw = make_raw(tasks=tasks, losses=("ce", "amad_kl"), gaps=gaps, changes=changes)
    return _split(raw)


def of_real_data(names: dict[tuple[str, str], str], gaps=((8, 2),), per="block") -> list[pd.DataFrame]:
    """The same with real data by task entry: nothing but their names is there."""
    raw = make_raw(tasks=tuple(names), losses=("ce", "amad_kl"), gaps=gaps, changes={"teacher_per": per})
    raw["datasets"] = {name: {} for name in names.values()}
    raw["models"] = {family: {**model, "inputs": GRID} for family, model in raw["models"].items()}
    for entry, name in zip(raw["tasks"], names.values(), strict=True):
        entry["dataset"] = name
    return _split(raw)


def _split(raw: dict) -> list[pd.DataFrame]:
    plan = possible_plan(Config.model_validate(raw))
    runs = pd.DataFrame([run_columns(run) for run in plan.runs if run.kind != "pretrain"])
    students = runs[runs["kind"] == "student"]
    found = []
    for _, own in students.groupby(["family", "task", "teacher_heads", "student_heads"], sort=False):
        teachers = runs[runs["run_id"].isin(own["teacher_id"].dropna())]
        found.append(pd.concat([own, teachers]))
    return found


@pytest.mark.parametrize(
    ("changes", "expected"),
    [  # blocks: VL-T5 8 -> 2 and 8 -> 4, BLIP likewise
        ({"teacher_per": "block", "scenes_per": "block"}, [0, 1, 2, 3]),
        ({"teacher_per": "sweep", "scenes_per": "block"}, [0, 1, 2, 3]),  # whose images are its own, all is
        ({"teacher_per": "block", "scenes_per": "sweep"}, [0, 0, 0, 0]),
        ({"teacher_per": "sweep", "scenes_per": "sweep"}, [0, 0, 0, 0]),
        ({"teacher_per": "replicate", "scenes_per": "sweep"}, [0, 0, 0, 0]),
    ],
)
@pytest.mark.trap("stat-40")
def test_generated_scenes(changes: dict, expected: list[int]) -> None:
    blocks = blocks_of(**changes)
    assert counted_as([drawn(runs) for runs in blocks]) == expected
    assert {photos(runs) for runs in blocks} == {frozenset()}


@pytest.mark.parametrize(("per", "expected"), [("block", [0, 1]), ("sweep", [0, 0]), ("replicate", [0, 0])])
def test_one_real_data_set_with_two_head_pairs(per: str, expected: list[int]) -> None:
    """A teacher, or with one teacher for each replicate the order of data, makes them one block."""
    blocks = of_real_data({VQA: "daquar"}, gaps=((8, 2), (8, 4)), per=per)
    assert counted_as([drawn(runs) for runs in blocks]) == expected
    assert counted_as([photos(runs) for runs in blocks]) == [0, 0]


def test_families_on_one_real_data_set_share_its_photos_only() -> None:
    blocks = of_real_data({VQA: "daquar", BLIP: "daquar"})
    assert counted_as([drawn(runs) for runs in blocks]) == [0, 1]
    assert [photos(runs) for runs in blocks] == [frozenset({"daquar/images_112"})] * 2


def test_two_data_sets_may_share_photos() -> None:
    blocks = of_real_data({VQA: "daquar", CAPTIONING: "flickr8k", ("vlt5", "translation"): "multi30k"})
    assert counted_as([photos(runs) for runs in blocks]) == [0, 1, 1]


def test_a_pretraining_is_shared_unless_images_are_the_blocks_own() -> None:
    conditions = {"pretraining.student": ["vl"], "models.vlt5.order_embedding": True}
    for per, expected in (("block", [0, 1]), ("sweep", [0, 0])):
        blocks = blocks_of(tasks=(VQA, CAPTIONING), gaps=((8, 2),), **conditions, scenes_per=per)
        assert counted_as([starts(runs) for runs in blocks]) == expected
    assert {starts(runs) for runs in blocks_of()} == {frozenset()}


def test_sharing_goes_on_through_others() -> None:
    parts = [frozenset("a"), frozenset("b"), frozenset("c"), frozenset("bc"), frozenset()]
    assert counted_as(parts) == [0, 1, 1, 1, 4]
    assert counted_as([]) == []
