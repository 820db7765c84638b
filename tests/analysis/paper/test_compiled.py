"""The paper compiles from a results folder, offline, and every number in it comes from there."""

import csv
import json
import re
import shutil
import socket
from pathlib import Path

import pandas as pd
import pytest
import typst

from amad_bench.analysis.collect import collect
from amad_bench.analysis.compared import MAKERS
from amad_bench.analysis.figures.registry import TABLES, draw_figures
from amad_bench.analysis.paper.compiled import paper
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_json, write_json_atomic, write_table
from amad_bench.runtime.results import COLLECTED, ResultsFolder, TableName


def publish(plan, runs_folder: Path, out: Path) -> ResultsFolder:
    """A results folder with all that the paper reads."""
    folder, collected = ResultsFolder(out), collect(plan, runs_folder)
    tables = {name: getattr(collected, name) for name in COLLECTED}
    tables |= {name: make(collected) for name, make in MAKERS.items()}
    for name, frame in tables.items():
        write_table(frame, folder.tables / name)
    write_json_atomic(folder.plan, {"name": plan.name, "hash": plan.hash})
    draw_figures({name: tables[name] for name in TABLES}, out)
    return folder


@pytest.fixture(scope="module")
def published(fake_results, tmp_path_factory) -> ResultsFolder:
    """Read-only."""
    return publish(*fake_results, tmp_path_factory.mktemp("published"))


@pytest.fixture
def source(repository):
    return repository / "paper" / "main.typ"


@pytest.fixture
def asked(monkeypatch):
    """The options that the paper was compiled with."""
    options = {}
    compile_pdf = typst.compile

    def spy(path, **given):
        options.update(given)
        return compile_pdf(path, **given)

    monkeypatch.setattr("amad_bench.analysis.paper.compiled.typst.compile", spy)
    return options


def texts_of(source: Path, selector: str, options) -> list[str]:
    """All texts of the elements that a selector finds in the compiled paper."""
    asked = {name: value for name, value in options.items() if name != "format"}
    return [
        item["text"] for item in _nested(json.loads(typst.query(source, selector, **asked))) if _text(item)
    ]


def _text(item) -> bool:
    return isinstance(item.get("text"), str)


def _nested(value):
    """All objects in a JSON value."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _nested(item)


def test_compiles_offline_to_equal_bytes(published, tmp_path, source, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("the paper asked for the network")

    monkeypatch.setattr(socket, "socket", refuse)
    made = paper(published.path, source, tmp_path / "paper" / "main.pdf")
    assert made.read_bytes().startswith(b"%PDF")
    again = paper(published.path, source, tmp_path / "again.pdf")
    assert made.read_bytes() == again.read_bytes()
    assert sorted(path.name for path in made.parent.iterdir()) == ["main.pdf"]


def test_the_tables_in_it_hold_the_numbers_of_the_results(published, tmp_path, source, asked):
    paper(published.path, source, tmp_path / "main.pdf")
    results = pd.read_parquet(published.tables / "results.parquet")
    primary = results[results["primary"]]
    halves = (primary["ci_high"] - primary["ci_low"]) / 2
    wanted = {
        f"{mean:.1f} ± {half:.1f}" for mean, half in zip(primary["mean"], halves, strict=True) if half > 0
    }
    assert len(wanted) > 20
    assert wanted <= set(texts_of(source, "<results>", asked))
    claims = pd.read_parquet(published.tables / "claims.parquet")
    in_claims = set(texts_of(source, "<claims>", asked))
    assert {*claims["claim"], *claims["verdict"]} <= in_claims


def test_of_a_plan_without_results_it_says_what_is_missing(fake, tmp_path, source, asked):
    plan = fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce",))
    folder = publish(plan, tmp_path, tmp_path)
    paper(folder.path, source, tmp_path / "main.pdf")
    facts = json.loads(asked["sys_inputs"]["facts"])
    assert (facts["planned"], facts["failed"]) == (3, 3)
    assert "not run" in texts_of(source, "<failures>", asked)


def test_a_figure_that_is_gone_is_one_line(published, tmp_path, source):
    shutil.copytree(published.path, tmp_path, dirs_exist_ok=True)
    (tmp_path / "figures" / "losses.svg").unlink()
    with pytest.raises(UserError, match=r"main\.typ: .*losses\.svg.*run `amad-bench figures` again"):
        paper(tmp_path, source, tmp_path / "main.pdf")


def test_it_compiles_without_a_claims_file(published, tmp_path, source, asked):
    folder = ResultsFolder(tmp_path)
    shutil.copytree(published.path, tmp_path, dirs_exist_ok=True)
    path = folder.table(TableName.CLAIMS)
    pd.read_parquet(path).head(0).to_parquet(path)
    made = paper(tmp_path, source, tmp_path / "main.pdf")  # would fail on a reference to no table
    assert made.is_file()
    assert json.loads(asked["sys_inputs"]["facts"])["tables"]["claims"] == []


def test_figures_without_a_picture_are_left_out_and_large_ones_are_named(published, tmp_path, source, asked):
    folder = ResultsFolder(tmp_path)
    folder.figures.mkdir()
    folder.tables.symlink_to(published.tables.resolve())
    write_json_atomic(folder.plan, read_json(published.plan))
    for path in published.figures.iterdir():
        (folder.figures / path.name).symlink_to(path.resolve())
    shown = read_json(published.shown_figures)
    shown["losses"] |= {"svgs": ["losses.svg"] * 3, "sizes": [[6.0, 2.0]] * 3, "notes": [["a"], ["b"], ["c"]]}
    shown["power"] |= {"nothing": "no runs"}
    folder.shown_figures.unlink()
    write_json_atomic(folder.shown_figures, shown)
    paper(tmp_path, source, tmp_path / "main.pdf")
    asked.pop("format")
    images = [Path(image["source"]).name for image in json.loads(typst.query(source, "image", **asked))]
    assert images
    assert not {"losses.svg", "power.svg"} & set(images)
    assert set(images) == {
        name
        for figure, one in shown.items()
        if not one["nothing"] and figure != "losses"
        for name in (one["svgs"][:1] if figure == "blocks" else one["svgs"])
    }
    assert json.loads(asked["sys_inputs"]["facts"])["left_out"] == ["losses"]


def test_a_missing_template_is_named(tmp_path):
    with pytest.raises(UserError, match=r"no\.typ: no such file; give the repository.*--template"):
        paper(tmp_path, tmp_path / "no.typ", tmp_path / "main.pdf")


def test_a_missing_table_is_named(tmp_path, source):
    with pytest.raises(UserError, match=r"\.parquet: missing.*amad-bench figures"):
        paper(tmp_path, source, tmp_path / "main.pdf")
    assert not (tmp_path / "main.pdf").exists()


def test_no_number_is_typed(source):
    """In the text, digits stand for lengths and formulas, in conditions, and in names of models, only."""
    _, text = source.read_text().split("------ text\n")
    results = text[text.index("= Results") : text.index("= Deviations")]
    code = r"@\w+|==? \d|> \d|pages: \d"
    assert not re.findall(r"\d", re.sub(code, "", results))
    allowed = code + r"|VL-T5|\$[^$]*\$|\d+(\.\d+)?(pt|fr|%)"
    assert not re.findall(r"\d", re.sub(allowed, "", text))


def test_open_choices_are_those_of_the_methods_page(repository):
    page = (repository / "docs" / "methods.md").read_text().split("## Open choices and deviations")[1]
    rows = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("|")][2:]
    plain = [[re.sub(r" \((amad|shd)-[^)]*\)|`", "", text).strip() for text in row] for row in rows]
    with (repository / "paper" / "open_choices.csv").open(newline="") as file:
        assert list(csv.reader(file))[1:] == plain
