import pandas as pd
import pytest

from amad_bench.bench import measuring
from amad_bench.bench.steps import bench_steps
from amad_bench.cli import main
from tests.training.conftest import tiny_plan  # noqa: F401 (a fixture)


@pytest.mark.slow
def test_what_is_measured(tiny_plan, monkeypatch):  # noqa: F811
    monkeypatch.setattr(measuring, "COPIED_MIB", 1)
    plan = tiny_plan()
    table = pd.DataFrame(bench_steps(plan, 1, rounds=2))
    students = [run.config for run in plan.runs if run.kind == "student" and run.config.replicate == 0]
    assert set(zip(table["family"], table["task"], table["loss"], strict=True)) == {
        (config.family, config.task, config.loss.label) for config in students
    }
    assert not table.duplicated(["family", "task", "loss"]).any()
    ce = table["loss"] == "ce"
    assert (table.loc[ce, "outputs"] == "none").all()
    assert (table.loc[ce, "over_ce"] == 1).all()
    assert (table.loc[~ce, "outputs"] == "float32").all()
    assert (table["p20_ms"] > 0).all()
    assert (table["p20_ms"] <= table["p50_ms"]).all()
    assert (table["threads"] == 1).all()


@pytest.mark.parametrize(("given", "rounds"), [([], 60), (["--repeat", "2"], 2)])
def test_rounds_that_are_not_asked_for(given, rounds, tmp_path, monkeypatch, repository):
    """Its own number: steps are short, other benchmarks' rounds are not."""
    seen = []

    def measured(_plan, threads, rounds):
        seen.append((threads, rounds))
        return [{"family": "vlt5"}]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("amad_bench.bench.steps.bench_steps", measured)
    assert main(["bench", "steps", "--config", str(repository / "configs/smoke.yaml"), *given]) == 0
    assert seen == [(1, rounds)]
