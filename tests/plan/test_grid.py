"""Which runs a config gives, and what moves a run's identity and seeds."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from amad_bench.plan import catalogue
from amad_bench.plan.config.datasets import Limit
from amad_bench.plan.grid import expand, find_data, find_run
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.plan.run_config import RunConfig, canonical_json
from amad_bench.plan.task_runs import TaskRuns
from amad_bench.runtime.errors import UserError
from tests.plan.config.checks.test_pretraining import TRAINING

Raw = dict[str, Any]
Planned = Callable[[Any], Plan]


def students(plan: Plan, loss: str | None = None) -> list[Run]:
    return [r for r in plan.runs if r.kind == "student" and loss in (None, r.config.loss.label)]


def changed(before: Plan, after: Plan) -> Counter[str]:
    """How many runs of each kind and loss are new in `after`."""
    new = set(after.by_id) - set(before.by_id)
    return Counter(f"{after.by_id[i].kind}:{after.by_id[i].config.loss.label}" for i in new)


def test_counts(raw: Raw, planned: Planned) -> None:
    plan = planned(raw)
    assert Counter(run.kind for run in plan.runs) == {"teacher": 2, "student": 2 * 3 * 2}
    assert len(plan.by_id) == len(plan.runs)


def test_teachers_come_before_their_students(raw: Raw, planned: Planned) -> None:
    raw["heads"] = {"teacher": [4, 8], "student": [1, 2]}
    plan = planned(raw)
    position = {run.id: number for number, run in enumerate(plan.runs)}
    for run in students(plan):
        if run.config.loss.name == "ce":
            assert (run.teacher_id, run.config.teacher_pretraining) == (None, None)
            continue
        assert run.teacher_id is not None
        assert position[run.teacher_id] < position[run.id]
        teacher = plan.by_id[run.teacher_id]
        assert teacher.kind == "teacher"
        assert teacher.config.model.heads == run.config.teacher.heads
        assert teacher.data_key == run.data_key


def test_an_unsupported_combination_is_skipped_with_a_reason(raw: Raw, planned: Planned) -> None:
    plan = planned(raw)
    assert [skip.setting for skip in plan.skipped] == [
        "vlt5-vqa-scenes-h8to2-one_to_one",
        "blip-captioning-scenes-h8to2-one_to_one",
    ]
    assert "teacher has 8 heads and the student 2" in plan.skipped[0].reason
    axes = [(skip.family, skip.task, skip.dataset) for skip in plan.skipped]
    assert axes == [("vlt5", "vqa", "scenes"), ("blip", "captioning", "scenes")]
    raw["losses"][2]["drop"] = "extra"
    assert not planned(raw).skipped
    raw["losses"][2]["drop"], raw["heads"]["student"] = "refuse", [8]
    assert not planned(raw).skipped


def test_a_plan_without_any_student_says_why(raw: Raw, planned: Planned) -> None:
    raw["losses"] = [{"name": "one_to_one"}]
    with pytest.raises(UserError) as caught:
        planned(raw)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith("small: the plan has no students")
    assert str(caught.value).count("the teacher has 8 heads and the student 2") == 2


def test_a_teacher_that_no_student_belongs_to_is_not_planned(raw: Raw, planned: Planned) -> None:
    raw["losses"], raw["heads"] = [{"name": "one_to_one"}], {"teacher": [2, 8], "student": [2]}
    plan = planned(raw)
    assert {run.config.model.heads for run in plan.runs if run.kind == "teacher"} == {2}
    assert len(plan.skipped) == 2


def test_a_raised_analysis_version_moves_the_tables_and_no_run(
    raw: Raw, planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = planned(raw)
    before_hash = before.hash
    monkeypatch.setattr("amad_bench.plan.plan.ANALYSIS_VERSION", 99)
    after = planned(raw)
    assert list(after.by_id) == list(before.by_id)
    assert after.hash != before_hash


def test_a_raised_version_of_a_test_of_significance_moves_the_tables_and_no_run(
    raw: Raw, planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = planned(raw)
    before_hash, record = before.hash, catalogue.SIGNIFICANCE_TESTS["weighted_t"]
    monkeypatch.setitem(catalogue.SIGNIFICANCE_TESTS, "weighted_t", replace(record, version=99))
    after = planned(raw)
    assert list(after.by_id) == list(before.by_id)
    assert after.hash != before_hash


def test_only_students_that_use_the_teacher_wait_for_it(raw: Raw, planned: Planned) -> None:
    plan = planned(raw)
    assert all(run.prerequisites == [] for run in students(plan, "ce"))
    assert all(run.prerequisites == [run.teacher_id] for run in students(plan, "amad_kl"))
    assert all(
        run.prerequisites == [] and run.teacher_id is None for run in plan.runs if run.kind == "teacher"
    )


def test_the_canonical_config_leaves_nothing_out(raw: Raw, planned: Planned) -> None:
    config = students(planned(raw), "amad_kl")[0].config
    assert set(config.canonical()) == {
        *("kind", "family", "task", "dataset", "inputs", "inputs_hash", "tokenizer", "model", "heads_keep"),
        "precision",
        *("start", "teacher", "pretraining", "teacher_pretraining", "loss", "training"),
        *("pretraining_options", "decoding", "replicate", "block", "controls", "seeds", "versions"),
    }
    assert config.loss.options == {
        "variant": "kl",
        "similarity": "cosine",
        "temperature": 1.0,
        "detach_alignment": False,
        "head_reduction": "sum",
        "row_reduction": "mean",
        "kernel": "auto",
        "query_rows": 0,
    }
    assert set(config.versions) == {
        *("dataset:scenes", "family:vlt5", "loss:ce", "loss:logit_kd", "loss:amad", "prepared", "training"),
        "schedule:linear",
        *("metric:vqa_accuracy", "metric:vqa_accuracy_2021"),
    }
    assert (config.model.heads, config.model.head_size) == (2, 24)
    assert RunConfig.model_validate_json(canonical_json(config.canonical())) == config


def test_controls_are_for_teachers_and_plain_students(raw: Raw, planned: Planned) -> None:
    for run in planned(raw).runs:
        assert run.config.controls == (run.kind == "teacher" or run.config.loss.label == "ce")


def test_ids_are_readable_and_repeatable(raw: Raw, planned: Planned) -> None:
    plan = planned(raw)
    assert list(plan.by_id) == list(planned(raw).by_id)
    run = students(plan, "amad_kl")[1]
    prefix, digest = run.id.rsplit("-", 1)
    assert prefix == "vlt5-vqa-h8to2-amad_kl-none-s01"
    assert len(digest) == 8
    assert int(digest, 16) >= 0


def test_device_name_and_order_of_keys_are_no_part_of_the_identity(raw: Raw, planned: Planned) -> None:
    before = planned(raw)
    raw |= {"device": "cpu", "name": "other"}
    raw["losses"].reverse()
    after = planned(dict(reversed(raw.items())))
    assert set(after.by_id) == set(before.by_id)
    assert after.hash == before.hash


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda c: c["losses"][3].update(temperature=0.5), {"student:amad_kl": 4}),
        (lambda c: c["losses"][1].update(temperature=4.0), {"student:logit_kd": 4}),
        (lambda c: c["losses"][3].update(loss_weights={"attention": 0.5}), {"student:amad_kl": 4}),
        (lambda c: c.update(loss_weights={"attention": 0.5}), {"student:amad_kl": 4}),
        (lambda c: c.update(logit_temperature=4.0), {"student:amad_kl": 4}),
        (lambda c: c.update(layer_map="uniform"), {"student:amad_kl": 4}),
        (lambda c: c["sites"].update(vlt5=["decoder.cross"]), {"student:amad_kl": 2}),
        (lambda c: c["losses"].append({"name": "amad", "variant": "mse"}), {"student:amad_mse": 4}),
        (
            lambda c: c["losses"].append({"name": "amad", "label": "sharp", "temperature": 0.1}),
            {"student:sharp": 4},
        ),
        (
            lambda c: c["tasks"][0]["student"].update(steps=11),
            {"student:ce": 2, "student:logit_kd": 2, "student:amad_kl": 2},
        ),
        (
            lambda c: c["tasks"][0]["teacher"].update(steps=21),  # `ce` students do not know the teacher
            {"teacher:ce": 1, "student:logit_kd": 2, "student:amad_kl": 2},
        ),
        (lambda c: c.update(replicates=3), {"student:ce": 2, "student:logit_kd": 2, "student:amad_kl": 2}),
    ],
)
def test_a_change_moves_exactly_the_runs_that_use_it(
    raw: Raw, planned: Planned, change: Callable[[Raw], Any], expected: dict[str, int]
) -> None:
    before = planned(raw)
    change(raw)
    assert changed(before, planned(raw)) == expected


def test_a_raised_version_moves_exactly_the_runs_that_use_it(
    raw: Raw, planned: Planned, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = planned(raw)
    monkeypatch.setitem(catalogue.LOSSES, "logit_kd", replace(catalogue.LOSSES["logit_kd"], version=99))
    assert changed(before, planned(raw)) == {"student:logit_kd": 4, "student:amad_kl": 4}
    monkeypatch.undo()
    monkeypatch.setitem(catalogue.METRICS, "CIDEr", replace(catalogue.METRICS["CIDEr"], version=99))
    assert (
        sum(changed(before, planned(raw)).values()) == 1 + 3 * 2
    )  # the captioning entry, its teacher included


@pytest.mark.trap("fair-1")
def test_all_losses_of_a_replicate_share_seeds(raw: Raw, planned: Planned) -> None:
    seeds = {}
    for run in students(planned(raw)):
        key = (run.config.family, run.config.replicate)
        seeds.setdefault(key, set()).add(run.config.seeds)
    assert {len(values) for values in seeds.values()} == {1}
    assert len(set().union(*seeds.values())) == len(seeds)


def test_added_losses_and_head_counts_leave_other_runs_alone(raw: Raw, planned: Planned) -> None:
    before = planned(raw)
    raw["losses"].insert(0, {"name": "student_mean"})
    raw["heads"] = {"teacher": [4, 8], "student": [1, 2, 4]}
    assert set(before.by_id) <= set(planned(raw).by_id)


def test_data_order_is_shared_by_head_counts_and_initial_weights_are_not(raw: Raw, planned: Planned) -> None:
    raw["heads"]["student"] = [1, 2]
    one, two = (
        next(r.config.seeds for r in students(planned(raw), "ce") if r.config.model.heads == heads)
        for heads in (1, 2)
    )
    assert one.data_order == two.data_order
    assert one.init != two.init


def test_the_seed_of_the_config_moves_every_run(raw: Raw, planned: Planned) -> None:
    before = planned(raw)
    raw["seed"] = 1
    assert not set(before.by_id) & set(planned(raw).by_id)


def test_one_teacher_per_replicate(raw: Raw, planned: Planned) -> None:
    raw["teacher_per"] = "replicate"
    plan = planned(raw)
    assert sum(run.kind == "teacher" for run in plan.runs) == 4
    for run in students(plan, "amad_kl"):
        assert run.teacher_id is not None
        assert plan.by_id[run.teacher_id].config.replicate == run.config.replicate


@pytest.mark.trap("heads-1")
def test_what_stays_when_the_number_of_heads_changes(raw: Raw, planned: Planned) -> None:
    del raw["models"]["blip"], raw["sites"]["blip"], raw["tasks"][1]
    raw["heads"]["keep"] = "head_size"
    for role in ("teacher", "student"):
        raw["models"]["vlt5"][role]["head_size"] = 16
    raw["heads"]["student"] = [5]  # need not divide the width
    model = students(planned(raw))[0].config.model
    assert (model.heads, model.head_size, model.width) == (5, 16, 48)
    for role in ("teacher", "student"):
        del raw["models"]["vlt5"][role]["head_size"]
    raw["heads"] = {"teacher": [8], "student": [6], "keep": "inner_width"}
    model = students(planned(raw))[0].config.model
    assert (model.heads, model.head_size, model.width) == (6, 8, 48)


def test_the_limit_of_a_data_set_is_part_of_the_identity(raw: Raw, planned: Planned) -> None:
    before = planned(raw)
    raw["datasets"]["scenes"]["limit"] = {"train": 5, "validation": 2, "test": 2}
    after = planned(raw)
    assert not set(before.by_id) & set(after.by_id)
    assert after.runs[0].data_key != before.runs[0].data_key
    assert after.runs[0].config.dataset.limit == Limit(train=5, validation=2, test=2)


def test_an_unknown_run_is_named_with_the_nearest(raw: Raw, planned: Planned) -> None:
    plan = planned(raw)
    right = plan.runs[3].id
    with pytest.raises(UserError, match=f"Did you mean '{right}'"):
        plan.run(right[:-1] + ("0" if right[-1] != "0" else "1"))


def large(raw: Raw) -> Raw:
    """At least 1,000 runs: 2 task entries x 2 teachers x 2 students x 5 losses x 25 replicates."""
    raw = deepcopy(raw)
    raw["heads"] = {"teacher": [4, 8], "student": [1, 2]}
    raw["losses"][2]["drop"] = "extra"
    raw["losses"].append({"name": "student_mean"})
    raw["replicates"] = 25
    return raw


def test_a_thousand_runs_are_planned_within_two_seconds_without_torch(raw: Raw, tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_text(yaml.safe_dump(large(raw)))
    code = (
        "import sys; from amad_bench.cli import main; code = main(); "
        "heavy = {'torch', 'transformers', 'pandas', 'numpy'} & set(sys.modules); "
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-c", code, "plan", "--json", "--config", str(path)],
        capture_output=True,
        text=True,
    )
    after = os.times()  # of the processor: other work on the machine is not the planner's fault
    seconds = after.children_user + after.children_system - before.children_user - before.children_system
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["runs"]) == 4 + 1000
    assert seconds < 2.0


def test_workers_are_no_part_of_a_run(raw: Raw, planned) -> None:
    before = planned(raw)
    raw["workers"] = 2
    assert planned(raw).by_id.keys() == before.by_id.keys()


def via(raw: Raw, **loss: object) -> Raw:
    raw = deepcopy(raw)
    raw["losses"].append({"label": "via_4", "assistant": {"heads": 4, "loss": "amad_kl"}, **loss})
    return raw


def test_assistants_are_runs_of_their_own_and_shared(raw: Raw, planned) -> None:
    """Two entries with one assistant train it once; the others keep their identity."""
    before = planned(raw)
    with_one = planned(via(raw, name="amad"))
    with_two = planned(via(via(raw, name="amad"), name="logit_kd", label="kd_via_4"))
    assert before.by_id.keys() <= with_one.by_id.keys() <= with_two.by_id.keys()
    per_entry = 2 * 2  # task entries and replicates
    assert len(with_one.runs) == len(before.runs) + 2 * per_entry  # students and their assistants
    assert len(with_two.runs) == len(with_one.runs) + per_entry


def test_an_assistant_that_cannot_be_trained_skips_what_it_would_teach(raw: Raw, planned) -> None:
    raw["losses"] = [{"name": "ce"}, {"name": "one_to_one"}]
    plan = planned(via(raw, name="head_mean", assistant={"heads": 4, "loss": "one_to_one"}))
    reasons = {skip.setting: skip.reason for skip in plan.skipped}
    assert reasons["vlt5-vqa-scenes-h8to2-via_4"].startswith("its assistant cannot be trained: one_to_one")


@pytest.mark.trap("amad-11")
def test_only_the_configured_sites_matter_for_a_loss(raw: Raw, planned) -> None:
    """A projection of BLIP's 577 x 577 maps is refused, of its short decoder maps not."""
    raw["losses"] = [{"name": "ce"}, {"name": "amad", "variant": "projected"}]
    raw["models"]["blip"]["inputs"] = {"kind": "pixels", "size": 384, "patch": 16}
    (skip,) = planned(raw).skipped
    assert skip.setting == "blip-captioning-scenes-h8to2-amad_projected"
    assert "332,929 x 332,929" in skip.reason
    raw["sites"]["blip"] = ["decoder.self"]
    assert planned(raw).skipped == []


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Labels of the students that are made from now on."""
    made: list[str] = []
    make = TaskRuns.student

    def student(runs: TaskRuns, *arguments: Any) -> Run:
        made.append(arguments[2].shown_label)
        return make(runs, *arguments)

    monkeypatch.setattr(TaskRuns, "student", student)
    return made


def test_every_run_is_found_without_the_others(raw: Raw, load, monkeypatch: pytest.MonkeyPatch) -> None:
    """paper.yaml has 1,868 runs, each of which looks for itself."""
    config = load(via(large(raw), name="amad"))
    plan = expand(config)
    made = counted(monkeypatch)
    for run in plan.runs[:: len(plan.runs) // 40]:
        made.clear()
        assert find_run(config, run.id) == run
        most = 2 if run.config.loss.label == "via_4" else 1
        assert len(made) <= 2 * most  # for each number of teacher heads
    with pytest.raises(UserError, match="Did you mean"):
        find_run(config, f"{plan.runs[-1].id[:-1]}x")


def pretrained(raw: Raw) -> Raw:
    """VL-T5 alone, whose teachers are pre-trained here."""
    raw["models"]["vlt5"]["order_embedding"] = True
    raw["pretraining"] = {"teacher": ["vl"], "training": {"vlt5": {"vl": dict(TRAINING)}}}
    raw["models"].pop("blip")
    raw["sites"].pop("blip")
    raw["tasks"].pop()
    return raw


def test_a_pretraining_is_found_if_a_run_needs_it(raw: Raw, load) -> None:
    """Four teacher heads have no student here, and their teacher's pre-training is no run."""
    raw = pretrained(raw) | {"losses": [{"name": "one_to_one"}], "heads": {"teacher": [4, 8], "student": [8]}}
    (needed,) = (run for run in expand(load(raw)).runs if run.kind == "pretrain")
    assert find_run(load(raw), needed.id) == needed
    other = expand(load(raw | {"heads": {"teacher": [4], "student": [4]}}))
    (not_needed,) = (run for run in other.runs if run.kind == "pretrain")
    with pytest.raises(UserError, match="is not in this plan"):
        find_run(load(raw), not_needed.id)


def test_data_are_found_by_their_name(raw: Raw, load) -> None:
    config = load(pretrained(raw))
    plan = expand(config)
    keys = {run.data_key for run in plan.runs}
    assert len(keys) == 2  # of the task, of its pre-training
    assert {find_data(config, key).data_key for key in keys} == keys
    with pytest.raises(
        UserError, match=r"--key 'scenes': not in this plan; its keys: scenes-\w{8}, scenes-\w{8}$"
    ):
        find_data(config, "scenes")


def test_data_are_found_where_those_of_a_pretraining_are_missing(
    raw: Raw, load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Questions of coco_mini without its captions: what is not pre-trained can be trained."""
    monkeypatch.setenv("AMAD_DATA", str(tmp_path))
    for name in ("vqa_v2_questions.json", "vqa_v2_annotations.json", "images_112/1.jpg"):
        path = tmp_path / "coco-mini" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    raw["datasets"] = {"coco_mini": {}}
    raw["tasks"] = [{**raw["tasks"][1], "task": "vqa", "dataset": "coco_mini"}]
    raw["pretraining"] = {"teacher": ["none", "vl"], "training": {"blip": {"vl": dict(TRAINING)}}}
    config = load(raw)
    (key,) = {run.data_key for run in expand(config).runs}
    assert find_data(config, key).data_key == key
