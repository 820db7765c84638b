"""A shown table as Markdown and LaTeX: nothing in it can break them."""

import re

from amad_bench.analysis.printed.table import PrintedTable, latex_text, write_fragments

TABLE = PrintedTable(
    title="Scores & more",
    columns=("Loss", "8 → 2"),
    numbers=(False, True),
    rows=(("amad_kl", "−1.5 ± 0.2"), ("a|b", "007")),
    note="100 % of them.",
)


def test_markdown_has_a_row_per_row_and_escapes_bars():
    lines = TABLE.markdown.splitlines()
    assert lines[0] == "**Scores & more**"
    assert [re.split(r"(?<!\\)\|", line)[1].strip() for line in lines[4:6]] == ["amad_kl", r"a\|b"]
    assert "007" in lines[5]  # a text, not the number 7
    assert re.fullmatch(r"\|:-+\|-+:\|", lines[3])  # left, right
    assert lines[-1] == "100 % of them."


def test_latex_is_booktabs_and_escaped():
    text = TABLE.latex
    assert [rule for rule in ("toprule", "midrule", "bottomrule") if f"\\{rule}" in text] == [
        "toprule",
        "midrule",
        "bottomrule",
    ]
    assert r"amad\_kl & $-$1.5 $\pm$ 0.2 \\" in text
    assert r"8 $\rightarrow$ 2" in text
    assert r"\caption{Scores \& more. 100 \% of them.}" in text
    assert r"\begin{tabular}{lr}" in text


def test_every_character_with_a_meaning_in_latex_is_written_out():
    assert latex_text(r"\{}$&#^_~%") == (r"\textbackslash{}\{\}\$\&\#\textasciicircum{}\_\textasciitilde{}\%")


def test_fragments_stand_one_after_another(tmp_path):
    write_fragments([TABLE, TABLE], tmp_path / "results")
    assert (tmp_path / "results.md").read_text().count("**Scores & more**") == 2
    assert (tmp_path / "results.tex").read_text().count(r"\toprule") == 2
