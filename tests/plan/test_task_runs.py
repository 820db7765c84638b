"""Where runs start from: shared pre-trainings, checkpoints on disk; students that are cut from a teacher."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.plan.run_config import UsedTokenizer
from tests.plan.config.checks.test_pretraining import TRAINING

Raw = dict[str, Any]
Planned = Callable[[Any], Plan]


@pytest.fixture
def vqa_and_captions(raw: Raw) -> Raw:
    """VL-T5 on both tasks, every condition for both roles, trained here."""
    raw["models"].pop("blip")
    raw["models"]["vlt5"]["order_embedding"] = True
    raw["sites"].pop("blip")
    raw["losses"] = [{"name": "ce"}, {"name": "amad"}]
    raw["tasks"] = [raw["tasks"][0], {**raw["tasks"][0], "task": "captioning"}]
    conditions = ["none", "text", "vl"]
    raw["pretraining"] = {
        "teacher": conditions,
        "student": conditions,
        "training": {"vlt5": {"text": dict(TRAINING), "vl": dict(TRAINING)}},
    }
    return raw


def _kind(plan: Plan, kind: str) -> list[Run]:
    return [run for run in plan.runs if run.kind == kind]


def test_every_shape_and_condition_is_pretrained_once(vqa_and_captions: Raw, planned: Planned) -> None:
    plan = planned(vqa_and_captions)
    pretrained = _kind(plan, "pretrain")
    assert Counter((r.config.model.width, r.config.pretraining) for r in pretrained) == {
        (64, "text"): 1,
        (64, "vl"): 1,
        (48, "text"): 1,
        (48, "vl"): 1,
    }
    for run in (*_kind(plan, "teacher"), *_kind(plan, "student")):
        start = run.config.start
        if run.config.pretraining == "none":
            assert start is None
            continue
        assert start is not None
        source = plan.by_id[start.run_id]
        assert source.config.pretraining == run.config.pretraining
        assert source.config.model == run.config.model
        assert source.id in run.prerequisites
        assert plan.runs.index(source) < plan.runs.index(run)
    assert all(run.id.startswith("vlt5-pretraining-h") for run in pretrained)


def test_a_pretraining_knows_nothing_of_the_tasks_that_use_it(
    vqa_and_captions: Raw, planned: Planned
) -> None:
    both = {run.id for run in _kind(planned(vqa_and_captions), "pretrain")}
    vqa_and_captions["tasks"].pop()
    vqa_and_captions["tasks"][0]["student"]["steps"] = 11
    vqa_and_captions["losses"].pop(0)
    assert {run.id for run in _kind(planned(vqa_and_captions), "pretrain")} == both


def test_all_conditions_share_one_tokenizer(vqa_and_captions: Raw, planned: Planned) -> None:
    expected = UsedTokenizer(vocabulary=100, tasks=["captioning", "translation", "vqa"])
    assert all(run.config.tokenizer == expected for run in planned(vqa_and_captions).runs)
    vqa_and_captions["pretraining"] = {}  # regions still have numbers, which are entries of the vocabulary
    assert all(run.config.tokenizer == expected for run in planned(vqa_and_captions).runs)
    vqa_and_captions["models"]["vlt5"]["order_embedding"] = False
    assert all(
        run.config.tokenizer == UsedTokenizer(vocabulary=100) for run in planned(vqa_and_captions).runs
    )


def test_an_inheriting_student_starts_from_the_pretraining_of_the_teachers_shape(
    vqa_and_captions: Raw, planned: Planned
) -> None:
    vqa_and_captions["models"]["vlt5"]["student"] |= {"cut": "inherit", "inherit_heads": "spread"}
    plan = planned(vqa_and_captions)
    assert {run.config.model.width for run in _kind(plan, "pretrain")} == {64}
    started = [run for run in _kind(plan, "student") if run.config.start]
    assert started
    for run in started:
        start = run.config.start
        assert (start.cut, start.inherit_heads) == ("inherit", "spread")
        assert plan.by_id[start.run_id].config.model.heads == run.config.teacher.heads


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"cut": "inherit", "layers": 4}, "more layers"),
        ({"cut": "remap"}, "keeps the inner width"),
        ({"cut": "remap", "width": 64, "feed_forward": 64}, "keeps the feed-forward"),
    ],
)
def test_a_student_that_cannot_be_cut_is_skipped_with_the_reason(
    vqa_and_captions: Raw, planned: Planned, change: Raw, reason: str
) -> None:
    vqa_and_captions["models"]["vlt5"]["student"] |= change
    plan = planned(vqa_and_captions)
    assert {run.config.pretraining for run in _kind(plan, "student")} == {"none"}
    assert {skip.setting for skip in plan.skipped if reason in skip.reason} == {
        f"vlt5-{task}-scenes-h8to2-{condition}"
        for task in ("vqa", "captioning")
        for condition in ("text", "vl")
    }


def test_checkpoints_on_disk_are_known_by_their_content(
    raw: Raw, planned: Planned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMAD_DATA", str(tmp_path))
    raw["tasks"].pop()
    raw["pretraining"] = {"teacher": ["none", "vl"], "student": ["none", "vl"]}
    raw["models"]["vlt5"] |= {"order_embedding": True, "box_area": "official"}
    raw["models"]["vlt5"]["teacher"]["checkpoints"] = {"vl": ["vl-t5/official.pth"]}
    raw["tasks"][0] |= {"vocabulary": None, "tokenizer": "t5"}
    (tmp_path / "t5").mkdir()
    (tmp_path / "t5/spiece.model").write_bytes(b"pieces")
    raw["models"]["vlt5"]["student"]["cut"] = "inherit"
    without = planned(raw)
    assert {run.config.pretraining for run in without.runs} == {"none"}
    assert any("missing below AMAD_DATA: vl-t5/official.pth" in skip.reason for skip in without.skipped)
    ids = []
    for content in (b"one", b"two"):
        (tmp_path / "vl-t5").mkdir(exist_ok=True)
        (tmp_path / "vl-t5/official.pth").write_bytes(content)
        plan = planned(raw)
        started = [run for run in plan.runs if run.config.pretraining == "vl"]
        assert {run.kind for run in started} == {"teacher", "student"}
        assert all(run.config.start.checkpoints == ["vl-t5/official.pth"] for run in started)
        ids.append({run.id for run in started})
    assert ids[0].isdisjoint(ids[1])


def test_students_of_several_sizes_with_heads_of_their_own(raw: Raw, planned: Planned) -> None:
    raw["tasks"].pop()
    size = raw["models"]["vlt5"].pop("student")
    raw["models"]["vlt5"]["students"] = {
        "small": {**size, "heads": [4]},
        "wide": {**size, "width": 64, "heads": [8, 2]},
    }
    plan = planned(raw)
    assert Counter((r.config.model.width, r.config.model.heads) for r in _kind(plan, "student")) == {
        (48, 4): 2 * 3,
        (64, 8): 2 * 4,
        (64, 2): 2 * 3,
    }


@pytest.mark.trap("vlt5-9")
@pytest.mark.parametrize(
    ("asked", "area"), [({}, "true"), ({"box_area": True}, "true"), ({"box_area": "official"}, "official")]
)
def test_regions_have_their_true_area_unless_the_official_one_is_asked_for(
    raw: Raw, planned: Planned, asked: Raw, area: str
) -> None:
    raw["models"]["vlt5"] |= asked
    models = {run.config.family: run.config.model for run in planned(raw).runs}
    assert models["vlt5"].options == {"order_embedding": False, "box_area": area}
    assert "box_area" not in models["blip"].options


def test_a_task_entry_may_have_an_image_size_of_its_own(raw: Raw, planned: Planned) -> None:
    raw["tasks"][1]["image_size"] = 96
    sizes = {run.config.task: getattr(run.config.inputs, "size", None) for run in planned(raw).runs}
    assert sizes == {"vqa": None, "captioning": 96}


def test_students_of_several_sizes_have_their_names_and_no_other_identity(raw: Raw, planned: Planned) -> None:
    size = raw["models"]["vlt5"].pop("student")
    named = {"calm": {**size, "dropout": 0.0}, "wild": {**size, "dropout": 0.5}}
    raw["models"]["vlt5"]["students"] = named
    plan = planned(raw)
    names = {(r.student_name, r.config.model.dropout) for r in _kind(plan, "student")}
    assert names == {("calm", 0.0), ("wild", 0.5), ("", 0.0)}  # BLIP has one student
    raw["models"]["vlt5"]["students"] = {f"{name}er": size for name, size in named.items()}
    assert set(planned(raw).by_id) == set(plan.by_id)


def test_an_assistant_that_cannot_be_cut_is_skipped(vqa_and_captions: Raw, planned: Planned) -> None:
    vqa_and_captions["models"]["vlt5"]["student"] |= {"cut": "inherit"}
    vqa_and_captions["losses"].append(
        {"name": "amad", "label": "helped", "assistant": {"heads": 16, "loss": "amad_kl"}}
    )
    plan = planned(vqa_and_captions)
    helped = [run for run in _kind(plan, "student") if run.config.loss.label == "helped"]
    assert {run.config.pretraining for run in helped} == {"none"}
    assert any(
        "its assistant: cut: inherit cuts the teacher's weights, and the student has more heads"
        in skip.reason
        for skip in plan.skipped
    )


def test_the_order_of_checkpoints_is_no_part_of_the_identity(
    raw: Raw, planned: Planned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMAD_DATA", str(tmp_path))
    for folder in ("bert", "vit"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.json").write_text("{}")
    raw["tasks"] = [{**raw["tasks"][1], "vocabulary": None, "tokenizer": "bert"}]
    raw["pretraining"] = {"teacher": ["text"], "student": ["none"]}
    ids = []
    for paths in (["bert", "vit"], ["vit", "bert"]):
        raw["models"]["blip"]["teacher"]["checkpoints"] = {"text": paths}
        ids.append(set(planned(raw).by_id))
    assert ids[0] == ids[1]
