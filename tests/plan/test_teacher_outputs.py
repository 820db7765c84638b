"""Whether a teacher's outputs are stored follows from the config, and is part of a student's identity."""

from collections.abc import Callable
from typing import Any

import pytest

from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run

Raw = dict[str, Any]
Planned = Callable[[Any], Plan]


@pytest.fixture
def one(raw: Raw) -> Raw:
    """VL-T5 answers on scenes, 1,000 examples, a vocabulary of 100, targets of up to 9 ids."""
    raw["models"].pop("blip")
    raw["sites"] = {"vlt5": ["encoder.self"]}
    raw["losses"] = [{"name": "ce"}, {"name": "logit_kd"}, {"name": "minilm"}]
    raw["datasets"]["scenes"]["train_images"] = 1000
    raw["heads"] = {"teacher": [2], "student": [2]}
    raw["tasks"] = [raw["tasks"][0]]
    raw["tasks"][0] |= {"vocabulary": 100, "decoding": {"max_length": 9, "beams": 1}}
    raw["tasks"][0]["student"] = {**raw["tasks"][0]["student"], "examples": 1000}
    return raw


def _outputs(plan: Plan) -> dict[str, str | None]:
    taught = {run.config.loss.label: run.config.teacher for run in plan.runs if run.kind == "student"}
    return {label: teacher and teacher.outputs for label, teacher in taught.items()}


def test_by_default_what_is_small_is_stored(one: Raw, planned: Planned) -> None:
    assert _outputs(planned(one)) == {"ce": None, "logit_kd": "float32", "minilm": "float32"}


def test_the_budget_is_met_by_what_a_loss_reads(one: Raw, planned: Planned) -> None:
    """1,000 examples x 10 ids x 100 logits x 4 bytes = 4 MB; attention does not fit beside them."""
    one["cache_budget_gb"] = 0.004
    assert _outputs(planned(one)) == {"ce": None, "logit_kd": "float32", "minilm": "online"}
    one["cache_budget_gb"] = 0.0039
    assert _outputs(planned(one)) == {"ce": None, "logit_kd": "online", "minilm": "online"}


def test_a_limit_of_images_counts_their_captions(one: Raw, planned: Planned) -> None:
    """100 images with five captions each x 10 ids x 100 logits x 4 bytes = 2 MB."""
    one["tasks"][0] |= {"task": "captioning"}
    one["tasks"][0]["student"]["examples"] = "all"
    one["datasets"]["scenes"]["limit"] = {"train": 100, "validation": 4, "test": 4}
    one["cache_budget_gb"] = 0.002
    assert _outputs(planned(one))["logit_kd"] == "float32"
    one["cache_budget_gb"] = 0.0019
    assert _outputs(planned(one))["logit_kd"] == "online"


def test_a_stated_choice_holds_whatever_the_budget(one: Raw, planned: Planned) -> None:
    one |= {"cache_budget_gb": 0, "teacher_outputs": "stored"}
    assert _outputs(planned(one))["minilm"] == "float32"
    one |= {"cache_budget_gb": 1000, "teacher_outputs": "online"}
    assert _outputs(planned(one))["minilm"] == "online"


def _student(plan: Plan, label: str) -> Run:
    return next(run for run in plan.runs if run.kind == "student" and run.config.loss.label == label)


def test_the_choice_is_part_of_the_identity_and_the_budget_is_not(one: Raw, planned: Planned) -> None:
    first = planned(one)
    other = planned({**one, "cache_budget_gb": 4.5})
    online = planned({**one, "teacher_outputs": "online"})
    assert [run.id for run in first.runs] == [run.id for run in other.runs]
    assert _student(first, "minilm").id != _student(online, "minilm").id
    assert _student(first, "ce").id == _student(online, "ce").id


def test_students_that_read_the_same_examples_share_one_key(one: Raw, planned: Planned) -> None:
    plan = planned(one)
    keys = {label: _student(plan, label).config.outputs_key for label in ("ce", "logit_kd", "minilm")}
    assert keys["ce"] is None
    assert keys["logit_kd"] == keys["minilm"]
    one["tasks"][0]["student"] = {**one["tasks"][0]["student"], "examples": 900}
    assert _student(planned(one), "minilm").config.outputs_key != keys["minilm"]
