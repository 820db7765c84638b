"""The measurement of growing plans: its fake runs are what the real commands take for finished ones."""

from pathlib import Path

import pytest

from amad_bench.analysis.collect import collect
from amad_bench.bench.scaling import bench_scaling, finish_runs, sized_config
from amad_bench.plan.config.schema import Config
from amad_bench.plan.grid import expand
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.results import ResultsFolder


@pytest.mark.parametrize("size", [10, 20, 25, 100, 1000])
def test_a_config_has_the_asked_number_of_runs(size: int) -> None:
    assert len(expand(Config.model_validate(sized_config(size))).runs) == size


@pytest.mark.parametrize("size", [0, 7, 33])
def test_other_numbers_are_refused(size: int) -> None:
    with pytest.raises(UserError, match=f"{size} planned runs: expected a multiple"):
        sized_config(size)


def test_its_runs_are_collected(tmp_path: Path) -> None:
    plan = expand(Config.model_validate(sized_config(25)))
    finish_runs(plan.runs, ResultsFolder(tmp_path))
    tables = collect(plan, tmp_path)
    assert tables.failures.empty
    assert set(tables.scores["run_id"]) == set(plan.by_id)


@pytest.mark.slow
def test_a_row_of_measurements(tmp_path: Path) -> None:
    (row,) = bench_scaling(tmp_path / "files", [10])
    assert row.pop("runs") == 10
    assert set(row) == {
        name + end for name in ("plan", "snakemake_left", "snakemake_done", "collect") for end in ("", "_cpu")
    }
    assert all(0 < seconds < 300 for seconds in row.values())
