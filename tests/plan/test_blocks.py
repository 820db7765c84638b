"""What the settings of a block share, and what each block can have for itself."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amad_bench.plan import grid
from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import expand, find_data, find_run
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from tests.plan.config.checks.test_pretraining import TRAINING

Raw = dict[str, Any]
Planned = Callable[[Any], Plan]


@pytest.fixture
def vqa(raw: Raw) -> Raw:
    """VL-T5 on one task: two blocks, two conditions for both roles, trained here."""
    raw["models"].pop("blip")
    raw["models"]["vlt5"]["order_embedding"] = True
    raw["sites"].pop("blip")
    raw["tasks"].pop()
    raw["heads"] = {"teacher": [8], "student": [2, 4]}
    raw["losses"] = [{"name": "ce"}, {"name": "amad"}]
    training = {"vlt5": {"vl": dict(TRAINING)}}
    raw["pretraining"] = {"teacher": ["none", "vl"], "student": ["none", "vl"], "training": training}
    return raw


def of(plan: Plan, kind: str, label: str = "") -> list[Run]:
    return [run for run in plan.runs if run.kind == kind and label in ("", run.config.loss.label)]


def pair(run: Run) -> tuple[int, int]:
    assert run.config.block is not None
    return run.config.block.teacher_heads, run.config.block.student_heads


def test_the_shipped_config_trains_each_plain_student_once(repository: Path) -> None:
    plan = expand(load_config(repository / "configs/pretraining.yaml"))
    conditions = Counter(run.config.pretraining for run in of(plan, "student", "ce"))
    assert conditions == {"none": 4 * 2, "vl": 4 * 2}  # tasks and replicates; each was there three times
    assert len(of(plan, "student", "amad_kl")) == 4 * (3 * 2) * 2
    assert len(plan.runs) == 114 - (48 - 16)


def test_a_plain_student_knows_nothing_of_its_teachers(vqa: Raw, planned: Planned) -> None:
    plan = planned(vqa)
    plain = of(plan, "student", "ce")
    assert len(plain) == 2 * 2 * 2  # blocks, its own conditions, replicates
    for run in plain:
        assert (run.teacher_id, run.config.teacher_pretraining) == (None, None)
        assert run.id.startswith(
            f"vlt5-vqa-h8to{run.config.model.heads}-ce-{run.config.pretraining}-s0{run.config.replicate}-"
        )
    vqa["pretraining"]["teacher"] = ["vl"]
    alone = planned(vqa)
    assert {run.id for run in of(alone, "student", "ce")} == {run.id for run in plain}
    assert {run.id for run in of(alone, "student", "amad_kl")} < {
        run.id for run in of(plan, "student", "amad_kl")
    }
    vqa["teacher_per"] = "replicate"
    assert {run.id for run in of(planned(vqa), "student", "ce")} == {run.id for run in plain}


def test_blocks_do_not_share_their_plain_students(vqa: Raw, planned: Planned) -> None:
    """Nor does a cut one, which starts from the pre-training of its block's teacher."""
    vqa["heads"] = {"teacher": [4, 8], "student": [2]}
    vqa["models"]["vlt5"]["student"]["cut"] = "inherit"
    plain = of(planned(vqa), "student", "ce")
    assert Counter((run.config.teacher.heads, run.config.pretraining) for run in plain) == {
        (heads, condition): 2 for heads in (4, 8) for condition in ("none", "vl")
    }
    starts = {run.config.teacher.heads: run.config.start.run_id for run in plain if run.config.start}
    assert starts[4].startswith("vlt5-pretraining-h4-vl-")
    assert starts[8].startswith("vlt5-pretraining-h8-vl-")


def test_every_teacher_has_its_settings_though_all_students_are_shared(vqa: Raw, planned: Planned) -> None:
    vqa["losses"] = [{"name": "ce"}]
    plan = planned(vqa)
    assert [run.config.pretraining for run in of(plan, "teacher")] == ["none", "vl"]


def test_a_plain_assistant_is_shared_too(vqa: Raw, planned: Planned) -> None:
    vqa["losses"].append({"name": "amad", "label": "via_4", "assistant": {"heads": 4, "loss": "ce"}})
    vqa["heads"]["student"] = [2]
    plan = planned(vqa)
    plain = of(plan, "student", "ce")
    assert Counter(run.config.model.heads for run in plain) == {2: 2 * 2, 4: 2 * 2}
    for run in of(plan, "student", "via_4"):
        assert run.teacher_id in plan.by_id
        assert plan.by_id[run.config.teacher.run_id].config.model.heads == 4


def test_a_block_can_have_a_teacher_of_its_own(vqa: Raw, planned: Planned) -> None:
    shared = planned(vqa)
    vqa["teacher_per"] = "block"
    plan = planned(vqa)
    teachers = of(plan, "teacher")
    assert Counter((pair(run), run.config.pretraining) for run in teachers) == {
        ((8, heads), condition): 1 for heads in (2, 4) for condition in ("none", "vl")
    }
    assert {run.id.rpartition("-")[0] for run in teachers} == {
        f"vlt5-vqa-h8to{heads}-teacher-{condition}-s00" for heads in (2, 4) for condition in ("none", "vl")
    }
    assert len({run.config.canonical()["model"]["heads"] for run in teachers}) == 1
    for student in of(plan, "student", "amad_kl"):  # both replicates
        teacher = plan.by_id[student.teacher_id]
        assert student.config.teacher.run_id == teacher.id
        assert student.config.block == teacher.config.block
        assert pair(student) == (8, student.config.model.heads)
    # Data order, too: in a sweep it is the same for all numbers of heads.
    own = [run for run in plan.runs if run.config.block]
    seeds = {(run.kind, pair(run), run.config.replicate): run.config.seeds for run in own}
    for name in ("data_order", "init", "dropout"):
        assert len({getattr(found, name) for found in seeds.values()}) == len(seeds) == 2 + 4
    assert {run.id for run in of(plan, "pretrain")} == {run.id for run in of(shared, "pretrain")}
    assert all(run.config.block is None for run in shared.runs)


def test_student_sizes_make_blocks_by_their_names(vqa: Raw, planned: Planned) -> None:
    size = vqa["models"]["vlt5"].pop("student")
    vqa["models"]["vlt5"]["students"] = {"calm": size, "wild": {**size, "dropout": 0.5}}
    vqa |= {"teacher_per": "block", "heads": {"teacher": [8], "student": [2]}}
    vqa["pretraining"] = {}
    plan = planned(vqa)
    assert [run.config.block.pair for run in of(plan, "teacher")] == ["8 -> 2 (calm)", "8 -> 2 (wild)"]
    assert len({run.config.seeds for run in of(plan, "teacher")}) == 2


@pytest.mark.parametrize("teacher_per", ["sweep", "block"])
def test_sizes_that_differ_in_what_a_run_does_not_use_share_it_by_name(
    vqa: Raw, load, teacher_per: str
) -> None:
    """Without pre-training the way to cut does not matter: neither name may be missing from the tables."""
    size = vqa["models"]["vlt5"].pop("student")
    sizes = {"own": size, "cut": {**size, "cut": "inherit"}, "calm": {**size, "dropout": 0.5}}
    vqa["models"]["vlt5"]["students"] = sizes
    vqa |= {"teacher_per": teacher_per, "heads": {"teacher": [8], "student": [2]}, "replicates": 1}
    vqa["losses"].append({"name": "amad", "label": "via_4", "assistant": {"heads": 4, "loss": "ce"}})
    config = load(vqa)
    plan = expand(config)
    names: dict[str, set[str]] = {}
    for run in of(plan, "student"):
        names.setdefault(run.config.pretraining, set()).add(run.student_name)
        assert find_run(config, run.id) == run
    shared = {"own | cut", "calm"} if teacher_per == "sweep" else set(sizes)
    assert names == {"none": shared, "vl": set(sizes)}


@pytest.mark.parametrize("first", ["two", "four"])
def test_a_size_lends_no_name_to_what_only_assists_it(vqa: Raw, load, first: str) -> None:
    """The assistant of one size is another's student: all losses of a setting keep one name of its size."""
    size = vqa["models"]["vlt5"].pop("student")
    sizes = {"two": {**size, "heads": [2]}, "four": {**size, "heads": [4]}}
    other = next(name for name in sizes if name != first)
    vqa["models"]["vlt5"]["students"] = {name: sizes[name] for name in (first, other)}
    vqa |= {"replicates": 1, "pretraining": {}}
    vqa["losses"].append(
        {
            "name": "amad",
            "label": "via_4",
            "assistant": {"heads": 4, "loss": vqa["losses"][1].get("label", "amad_kl")},
        }
    )
    found = of(expand(load(vqa)), "student")
    labels = {"ce", "amad_kl", "via_4"}
    assert {(run.student_name, run.config.loss.label) for run in found} == {
        (name, label) for name in sizes for label in labels
    }
    assert len(found) == 6


def hashed(*parts: str | int) -> int:
    """As the documentation says: the first four bytes of the SHA-256 of the parts as a JSON list."""
    return int(hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:8], 16)


@pytest.mark.parametrize("teacher_per", ["block", "replicate"])
def test_a_block_can_have_images_of_its_own(vqa: Raw, planned: Planned, teacher_per: str) -> None:
    vqa["tasks"].append({**vqa["tasks"][0], "task": "captioning"})
    vqa |= {"seed": 3, "teacher_per": teacher_per, "scenes_per": "block"}
    vqa["datasets"]["scenes"]["seed"] = 5
    plan = planned(vqa)
    blocks = [(task, heads) for task in ("vqa", "captioning") for heads in (2, 4)]
    drawn = {}
    for task, heads in blocks:
        drawn[task, heads] = hashed("scenes", 3, 5, "vlt5", task, "scenes", 8, heads, "")
    assert len(set(drawn.values())) == 4
    for run in (*of(plan, "teacher"), *of(plan, "student")):
        assert run.config.dataset.options["seed"] == drawn[run.config.task, pair(run)[1]]
        for needed in run.prerequisites:  # the pre-training and the teacher
            assert plan.by_id[needed].config.dataset.options == run.config.dataset.options
    keys = {run.data_key: run.kind for run in plan.runs}
    assert Counter(keys.values())["pretrain"] == 4
    assert len({run.config.dataset.hash for run in plan.runs}) == 4  # it names what was drawn
    assert len({run.config.seeds.init for run in of(plan, "pretrain")}) == len(of(plan, "pretrain"))
    assert len(keys) == 2 * 4  # of each block, of its pre-training
    assert len(of(plan, "teacher")) == 4 * 2 * (2 if teacher_per == "replicate" else 1)
    vqa["datasets"]["scenes"]["seed"] = 6
    assert not plan.by_id.keys() & planned(vqa).by_id.keys()


@pytest.mark.parametrize("own", ["block", "sweep"])
def test_runs_and_data_of_blocks_are_found(vqa: Raw, load, own: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shared ones, too, and none by planning all others."""
    vqa |= {"teacher_per": own, "scenes_per": own, "replicates": 1}
    vqa["losses"].append({"name": "amad", "label": "via_4", "assistant": {"heads": 4, "loss": "amad_kl"}})
    vqa["pretraining"]["teacher"] = ["vl"]  # plain students of another condition have no teacher to tell by
    config = load(vqa)
    plan = expand(config)
    monkeypatch.delattr(grid, "expand")
    for run in plan.runs:
        assert find_run(config, run.id) == run
        assert find_data(config, run.data_key).data_key == run.data_key


def test_an_assistant_is_trained_by_its_blocks_teacher(vqa: Raw, planned: Planned) -> None:
    """That of 8 -> 2 has four heads, and is no student of the block 8 -> 4."""
    vqa |= {"teacher_per": "block", "scenes_per": "block", "replicates": 1, "pretraining": {}}
    vqa["losses"].append({"name": "amad", "label": "via_4", "assistant": {"heads": 4, "loss": "amad_kl"}})
    plan = planned(vqa)
    taught = {pair(run): run for run in of(plan, "student", "via_4")}
    assistants = {heads: plan.by_id[run.config.teacher.run_id] for heads, run in taught.items()}
    for heads, assistant in assistants.items():
        assert pair(assistant) == pair(plan.by_id[assistant.teacher_id]) == heads
        assert assistant.config.model.heads == 4
        assert taught[heads].teacher_id == assistant.teacher_id  # whose scope the comparison speaks about
        assert assistant.config.dataset == taught[heads].config.dataset
    assert assistants[8, 2].id != assistants[8, 4].id


def test_blocks_of_real_data_share_their_images(
    raw: Raw, planned: Planned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMAD_DATA", str(tmp_path))
    for name in ("captions.json", "images_112/1.jpg"):
        path = tmp_path / "coco-mini" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    raw |= {"teacher_per": "block", "scenes_per": "block", "heads": {"teacher": [8], "student": [2, 4]}}
    raw["datasets"]["coco_mini"] = {}
    raw["tasks"][1]["dataset"] = "coco_mini"
    plan = planned(raw)
    keys = {run.data_key: run.config.dataset.name for run in plan.runs}
    assert Counter(keys.values()) == {"scenes": 2, "coco_mini": 1}
    assert len({run.id for run in of(plan, "teacher") if run.config.dataset.name == "coco_mini"}) == 2
