"""What was run, in words."""

import pandas as pd

from amad_bench.analysis.collect import collect
from amad_bench.analysis.report.run_facts import count_of, run_facts, say_runs
from tests.analysis.conftest import TASKS


def test_counts_versions_and_machines(fake_results):
    plan, folder = fake_results
    runs = collect(plan, folder).runs
    facts = run_facts(plan, runs)
    assert facts["Runs"] == ["5 teachers, 50 students"]
    assert facts["Ended"] == ["55 done"]
    assert facts["Replicates of a student"] == ["2"]
    assert len(facts["Tasks"]) == len(TASKS)
    assert facts["Tasks"][1] == "VL-T5, Captioning, Scenes: heads 8 → 2; CIDEr; 240 test examples"
    assert facts["Trained for"] == ["0.6 hours, all runs one after the other"]  # 55 times 41.5 seconds
    assert facts["Machines"] == ["a processor (55 runs)"]
    assert facts["Commit"] == ["a" * 40]
    assert facts["Versions"] == ["torch 2.13.0"]
    assert "Left out" not in facts
    assert say_runs(runs) == (
        "50 students under 5 losses, 2 replicates of each, learnt from 5 teachers. All runs are done."
    )


def test_what_has_not_run_is_no_gap(fake, tmp_path):
    plan = fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce",), seeds=3)
    runs = collect(plan, tmp_path).runs
    assert run_facts(plan, runs)["Ended"] == ["4 not run"]
    assert "Machines" not in run_facts(plan, runs)
    assert say_runs(runs).endswith("4 of 4 runs have no result.")


def test_machines_and_changed_sources_are_told_apart(fake_results):
    plan, folder = fake_results
    runs = collect(plan, folder).runs
    other = pd.Series(["GPU"] * 5 + [None] * 50)
    changed = runs.assign(device_name=other, cpu_count=8, dirty=[True] * 5 + [False] * 50)
    facts = run_facts(plan, changed)
    assert facts["Machines"] == ["GPU, a processor, 8 CPUs (5 runs)", "a processor, 8 CPUs (50 runs)"]
    assert facts["Commit"] == ["a" * 40, f"{'a' * 40} with uncommitted changes"]


def test_numbers_of_things():
    assert (count_of(1, "run"), count_of(2000, "run")) == ("1 run", "2,000 runs")
