"""configs/paper-core.yaml: complete, and its whole training path on tiny stand-ins."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pandas as pd
import pytest
import yaml

from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import possible_plan
from tests.conftest import REPOSITORY
from tests.paper_runs import check_columns, check_ranked_answers
from tests.standins import CORE, keys, paper, tiny, unwritten

LOSSES = ("ce", "logit_kd", "one_to_one", "student_mean", "amad_kl")
TASKS = {"vlt5": ("vqa", "captioning", "translation"), "blip": ("vqa", "captioning")}
HEADS = (12, 4)


def test_nothing_is_left_to_a_default():
    assert list(unwritten(load_config(CORE), "")) == []


def test_all_else_is_as_in_the_whole_setting():
    """Only axes are shorter; data, shapes, trainings and options of losses are the published ones."""
    core, whole = paper(CORE), paper()
    assert all(entry in whole["losses"] for entry in core.pop("losses"))
    for config in (core, whole):
        for key in ("name", "replicates", "losses", "heads", "pretraining"):
            config.pop(key, None)
        config.pop("precision", None)
        for model in config["models"].values():
            for size in (model["teacher"], model.get("student"), *model.get("students", {}).values()):
                if size is not None:
                    del size["heads"], size["checkpoints"]
        for entry in config["tasks"]:
            entry.pop("replicates", None)
            entry.pop("student_pretraining", None)
    assert core == whole


def test_the_plan_is_the_core_that_was_reckoned():
    """By hand: 5 losses x 5 replicates x 2 conditions x 3 shapes x 3 tasks of VL-T5, and so on."""
    plan = possible_plan(load_config(CORE))
    assert plan.skipped == []
    students = [run for run in plan.runs if run.kind == "student"]
    found = Counter(
        (run.config.family, run.config.task, run.student_name, run.config.model.heads, run.config.pretraining)
        for run in students
    )
    expected: dict[tuple[str, str, str, int, str], int] = {}
    for task in TASKS["vlt5"]:
        for shape in (("small", 8), ("base", 12), ("base", 4)):
            expected |= {("vlt5", task, *shape, condition): 5 * 5 for condition in ("none", "vl")}
    for task, replicates in (("vqa", 3), ("captioning", 5)):
        expected |= {("blip", task, "", heads, "vl"): 5 * replicates for heads in HEADS}
    assert found == expected
    assert len(students) == 450 + 30 + 50
    assert Counter(run.config.loss.label for run in students) == dict.fromkeys(LOSSES, 530 // 5)
    teachers = [run for run in plan.runs if run.kind == "teacher"]
    assert {run.config.pretraining for run in teachers} == {"vl"}
    assert len(plan.runs) == len(students) + len(teachers) == 535


@pytest.mark.slow
def test_the_whole_path_on_stand_ins(command, published, tmp_path):
    path = tmp_path / "tiny.yaml"
    small = tiny(paper(CORE), heads=HEADS)
    assert keys(small) == keys(paper(CORE))
    path.write_text(yaml.safe_dump(small, sort_keys=False), encoding="utf-8")
    shutil.rmtree("configs")
    shutil.copytree(REPOSITORY / "paper", "paper", ignore=shutil.ignore_patterns("*.pdf"))

    def succeed(*arguments: str) -> str:
        code, out, err = command(published, path, *arguments)
        assert code == 0, err
        return out

    plan = json.loads(succeed("plan", "--json"))
    assert plan["skipped"] == []
    assert len(plan["runs"]) == 5 + 2 * (3 * 3 * 2 + 2 * 2)  # ce and amad_kl, one replicate
    succeed("data")
    for run in plan["runs"]:
        assert f"{run['id']}: done\n" in succeed("run", "--run", run["id"])
    for name in ("collect", "compare", "figures", "paper"):
        succeed(name)
    assert Path("paper/main.pdf").read_bytes().startswith(b"%PDF")
    assert len(pd.read_csv("results/tables/failures.csv")) == 0
    runs = pd.read_csv("results/tables/runs.csv").to_dict("records")
    assert {run["status"] for run in runs} == {"done"}
    check_columns(runs)
    check_ranked_answers(runs)
