"""Every figure has a maker, all are drawn from tables of a whole sweep, and of one that has not begun."""

from dataclasses import fields

import pytest

from amad_bench.analysis.collect import collect
from amad_bench.analysis.collected import Collected
from amad_bench.analysis.compared import MAKERS
from amad_bench.analysis.figures.files import read_shown
from amad_bench.analysis.figures.registry import FIGURES, TABLES, draw_figures
from amad_bench.runtime.results import FigureName, ResultsFolder, TableName


def tables_of(collected: Collected):
    known = {field.name: getattr(collected, field.name) for field in fields(collected)}
    return {name: known[name] if name in known else MAKERS[name](collected) for name in TABLES}


def test_each_name_has_a_maker_and_each_table_is_one():
    assert sorted(FIGURES) == sorted(FigureName)
    assert set(TABLES) <= set(TableName)


@pytest.mark.slow
def test_all_figures_of_a_sweep_and_their_equal_bytes(fake_results, tmp_path):
    tables = tables_of(collect(*fake_results))
    for folder in "ab":
        paths = draw_figures(tables, tmp_path / folder)
    made = ResultsFolder(tmp_path / "a")
    assert {path.name for path in made.figure_files()} <= {path.name for path in paths}
    for path in paths:
        assert path.read_bytes() == (made.figures / path.name).read_bytes(), path.name
    shown = read_shown(made.shown_figures)
    assert {name for name, one in shown.items() if one.nothing} == {
        *("head_gap", "head_counts", "learning_curves", "alignments", "sharpness"),
        *("pretraining_gaps", "published"),
    }
    assert all(1 <= one.pages == len(one.svgs) for one in shown.values())


def test_nothing_has_run_yet(fake, tmp_path):
    draw_figures(tables_of(collect(fake.plan(), tmp_path)), tmp_path)
    assert all(path.is_file() for path in ResultsFolder(tmp_path).figure_files())
    assert all(one.nothing for one in read_shown(ResultsFolder(tmp_path).shown_figures).values())
