"""Names and places of everything that is made."""

from pathlib import Path

from amad_bench.runtime.results import COLLECTED, COMPARED, PAPER, RESULTS, FigureName, TableName


def test_everything_written_stands_below_results() -> None:
    assert RESULTS.run("x").path == Path("results/runs/x")
    assert RESULTS.run("x").status == Path("results/runs/x/status.json")
    assert RESULTS.dataset("scenes", "0123456789abcdef") == Path("results/data/scenes-01234567")
    assert RESULTS.prepared("key") == Path("results/data/prepared/key.json")
    assert RESULTS.plan == Path("results/plan.json")
    assert RESULTS.extra_scores == Path("results/extra_scores.parquet")
    assert Path("paper/main.pdf") == PAPER


def test_files_of_tables_and_figures() -> None:
    assert RESULTS.table_files(TableName.RUNS, TableName.STEPS_TO_SCORE) == [
        Path("results/tables/runs.parquet"),
        Path("results/tables/runs.csv"),
        Path("results/tables/steps_to_score.parquet"),
        Path("results/tables/steps_to_score.csv"),
    ]
    assert RESULTS.figure(FigureName.HEAD_GAP) == Path("results/figures/head_gap.pdf")
    names = [path.name for path in RESULTS.figure_files()]
    assert names[:3] == ["losses.pdf", "losses.png", "losses.svg"]
    assert len(names) == len(set(names)) == 3 * len(FigureName) + 1
    assert names[-1] == "figures.json"


def test_one_command_makes_each_table() -> None:
    assert sorted([*COLLECTED, *COMPARED]) == sorted(TableName)
