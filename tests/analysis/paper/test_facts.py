"""What the paper says of a results folder beside its tables."""

import json

import pandas as pd
import pytest

from amad_bench.analysis.collect import collect
from amad_bench.analysis.compared import MAKERS
from amad_bench.analysis.paper.facts import facts_of
from amad_bench.plan.plan import Plan, Skip
from amad_bench.runtime.results import COLLECTED, TableName


@pytest.fixture
def facts(repository, tmp_path):
    def of(plan, change=lambda tables: tables):
        collected = collect(plan, tmp_path)
        tables = {name: getattr(collected, name) for name in COLLECTED}
        tables = change(tables | {name: make(collected) for name, make in MAKERS.items()})
        choices = repository / "paper" / "open_choices.csv"
        return facts_of(tables, {"name": plan.name, "hash": plan.hash}, {}, choices)

    return of


def test_skips_signatures_and_commits(fake, tmp_path, facts):
    plan = fake.plan(tasks=(("vlt5", "translation"),), losses=("ce", "amad_kl"))
    for run in plan.runs[:-1]:
        folder = fake.write(tmp_path, run)
        signatures = {"BLEU": "nrefs:1|tok:13a", "TER": "nrefs:1|case:lc"}
        status = json.loads((folder / "status.json").read_text())
        (folder / "status.json").write_text(json.dumps(status | {"signatures": signatures}))
        made = json.loads((folder / "run.json").read_text())
        made["provenance"]["dirty"] = run.kind == "teacher"
        (folder / "run.json").write_text(json.dumps(made))
    skipped = [Skip(name, "a reason", "vlt5", "translation", "scenes") for name in ("setting-a", "setting-b")]
    found = facts(Plan(plan.runs, skipped, plan.name))
    assert (found["failed"], found["skipped"], found["planned"]) == (1, 2, 5)
    assert found["signatures"] == ["BLEU|nrefs:1|tok:13a"]
    assert found["commits"] == [{"commit": "a" * 40, "dirty": dirty} for dirty in (False, True)]
    assert found["teacher_per"] == "sweep"


def test_shared_images_and_warnings_cannot_go_unmentioned(fake, tmp_path, facts):
    plan = fake.plan(tasks=(("vlt5", "captioning"), ("blip", "vqa")), losses=("ce", "amad_kl"), seeds=1)
    for run in plan.runs:
        shared = {"train/test": 1409, "train/validation": 3} if "captioning" in run.id else {}
        fake.write(tmp_path, run, data={"image_overlap": shared})
    found = facts(plan)
    scenes = {"dataset": "Scenes", "task": "Captioning"}
    assert found["overlaps"] == [
        scenes | {"splits": "train/test", "images": "1,409"},
        scenes | {"splits": "train/validation", "images": "3"},
    ]


def test_tasks_may_have_replicates_of_their_own(fake, tmp_path, facts):
    plan = fake.join(
        fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce", "amad_kl"), seeds=3),
        fake.plan(tasks=(("blip", "vqa"),), losses=("ce", "amad_kl"), seeds=2),
    )
    for run in plan.runs:
        fake.write(tmp_path, run)
    assert facts(plan)["replicates"] == [2, 3]


@pytest.mark.parametrize("per", ["block", "replicate"])
def test_whose_the_teachers_are(fake, tmp_path, facts, per):
    plan = fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce", "amad_kl"), changes={"teacher_per": per})
    for run in plan.runs:
        fake.write(tmp_path, run)
    assert facts(plan)["teacher_per"] == per


def test_many_contrasts_are_counted_and_not_printed(fake, tmp_path, facts, monkeypatch):
    plan = fake.plan(tasks=(("vlt5", "vqa"),))
    for run in plan.runs:
        fake.write(tmp_path, run)
    assert len(facts(plan)["tables"]["comparisons"]) == 1
    monkeypatch.setattr("amad_bench.analysis.paper.facts.MOST_CONTRASTS", 3)
    found = facts(plan)
    assert (found["unprinted"], found["tables"]["comparisons"]) == (4, [])


def test_of_many_contrasts_across_blocks_only_what_can_be_tested_is_printed(fake, tmp_path, facts):
    plan = fake.plan(losses=("ce", "amad_kl"), seeds=1)
    for run in plan.runs:
        fake.write(tmp_path, run)

    def with_rows(number):
        def change(tables):
            blocks = tables[TableName.BLOCKS]
            row = blocks[blocks["over"] == "all"].head(1)
            rows = [row.assign(statement="better"), *[row.assign(statement="not testable")] * (number - 1)]
            return tables | {TableName.BLOCKS: pd.concat(rows)}

        return change

    few, many = (facts(plan, with_rows(number)) for number in (40, 41))
    assert (few["untestable"], len(few["tables"]["blocks"][0]["rows"])) == (0, 40)
    assert (many["untestable"], len(many["tables"]["blocks"][0]["rows"])) == (40, 1)
