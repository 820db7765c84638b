"""The report as a file: what stands in it, what is text, what is refused."""

import re
import shutil

import pytest

from amad_bench.analysis.report.report import READ, report
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.results import ResultsFolder
from tests.analysis.report.conftest import EVIL
from tests.analysis.report.reading import Page


@pytest.fixture(scope="module")
def html(made):
    return made.path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_a_person_reads_verdicts_before_tables(page):
    parts = [
        attributes["id"] for name, attributes in page.elements if name == "section" and "id" in attributes
    ]
    assert parts == [
        "run",
        "verdicts",
        "blocks-part",
        "tables",
        "figures",
        "failed",
        "examples",
        "methods",
        "limits",
    ]
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(ids)) == len(ids)


def test_what_was_run_is_said(page, made):
    said = page.texts["run"]
    for fact in (
        made.plan.hash,
        "a" * 40,
        "a processor",
        "torch 2.13.0",
        "1 teacher, 4 students",
        "1 diverged",
    ):
        assert fact in said
    assert "1 student failed" not in said


def test_verdicts_have_words_scope_and_what_is_missing(page):
    said = page.texts["verdicts"]
    assert "supported C1: AMAD helps" in said
    assert "Scope: blocks of this kind." in said
    assert "Missing: head counts that differ." in said
    assert "Answered by configs/methods.yaml" in said
    assert page.tables["claim_C1"]["rows"][0][2] == [2.0, -1.0, 3.0]
    assert "claim_C2" not in page.tables


def test_texts_are_texts_wherever_they_stand(html, page):
    assert EVIL not in html
    assert page.texts["verdicts"].count(EVIL) == 2
    assert page.texts["examples"].count(EVIL) >= 2  # a prediction
    cells = [cell for table in page.tables.values() for row in table["rows"] for cell in row]
    assert cells.count(EVIL) >= 43  # reasons, a published work, a run that failed
    scripts = [attributes for name, attributes in page.elements if name == "script"]
    assert [attributes for attributes in scripts if "data-table" not in attributes] == [{"type": "module"}]
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]


def test_nothing_is_fetched(html, page):
    for _, attributes in page.elements:
        for name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            assert (attributes.get(name) or "#").startswith(("#", "data:"))
    styles = "".join(re.findall(r"<style>(.*?)</style>", html, re.DOTALL))
    assert not re.findall(r"@import|url\((?!['\"]?data:)", styles)
    assert "sourceMappingURL" not in html
    policy = next(attributes for _, attributes in page.elements if "http-equiv" in attributes)
    assert "default-src 'none'" in policy["content"]


def test_what_no_claim_registers_is_marked(html):
    for heading in ("Tables", "Figures", "Across blocks"):
        assert re.search(rf"<h2>{heading} <span class=\"exploratory\">", html)


def test_what_all_rows_share_is_said_once(page):
    columns = [column["label"] for column in page.tables["comparisons"]["columns"]]
    assert columns[:4] == ["Heads", "A", "B", "Difference [95 %]"]
    assert "In all rows: models VL-T5 ; task VQA ; data Scenes ; metric VQA accuracy" in page.texts["tables"]
    assert "Warning: few examples" in page.texts["tables"]


def test_columns_are_explained_without_a_pointer(page):
    assert "K independent blocks; those that share a teacher count as one" in page.texts["blocks-part"]


def test_failures_and_what_they_mean(page):
    assert [row[1] for row in page.tables["failures"]["rows"]] == ["diverged"]
    assert "Combinations that are left out" in page.texts["failed"]
    assert page.tables["loss_failures"]["rows"] == [["ce", 2.0, 1.0, [0.5, 0.01, 0.99]]]


def test_figures_stand_in_the_page_with_their_fine_print(page):
    said = page.texts["figures"]
    assert "Scores by loss" in said
    assert "A note." in said
    assert "A < B" in said
    assert "Learning curves : one condition only" in said


def test_methods_are_those_of_the_config(page):
    said = page.texts["methods"]
    assert (
        "students were trained for 1,000 steps of 64 examples, out of 6,000, at a learning rate of 0.001"
        in said
    )
    assert "each teacher head with its soft mixture of student heads" in said
    assert "VL-T5: encoder.self, layer map last" in said
    assert "even with ten seeds" in page.texts["limits"]


def test_equal_files_give_equal_bytes(made, tmp_path):
    again = report(made.config, made.plan, made.results.path, tmp_path / "report.html")
    assert again.read_bytes() == made.path.read_bytes()


@pytest.mark.parametrize("missing", [f"tables/{name}.parquet" for name in READ] + ["figures/losses.svg"])
def test_a_missing_table_or_figure_is_named(made, tmp_path, missing):
    results = ResultsFolder(tmp_path / "results")
    for folder in ("tables", "figures"):
        shutil.copytree(made.results.path / folder, results.path / folder)
    (results.path / missing).unlink()
    with pytest.raises(UserError, match=re.escape(missing)):
        report(made.config, made.plan, results.path, results.report)
    assert not results.report.exists()
