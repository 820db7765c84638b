"""Tables for readers: the numbers of the tables they are made from, what rows share said once."""

import math

import pandas as pd
import pytest

from amad_bench.analysis.collect import collect
from amad_bench.analysis.compared import MAKERS
from amad_bench.analysis.printed.contrasts import comparisons_tables
from amad_bench.analysis.printed.every import PRINTERS, print_tables
from amad_bench.analysis.printed.numbers import interval, p_value, points, share
from amad_bench.analysis.printed.protocol import protocol_table
from amad_bench.analysis.printed.results import results_tables
from amad_bench.analysis.printed.runs import failures_tables
from amad_bench.analysis.printed.settings import headroom_tables
from amad_bench.runtime.results import COLLECTED, PRINTED, ResultsFolder, TableName


@pytest.fixture(scope="module")
def collected(fake_results):
    return collect(*fake_results)


@pytest.fixture(scope="module")
def results(collected):
    return MAKERS[TableName.RESULTS](collected)


def test_numbers_have_a_real_minus_and_no_exponent():
    assert [points(-1.25, 2), points(0.04), points(3.0, signed=True), points(math.nan)] == [
        "−1.25",
        "0.0",
        "+3.0",
        "–",
    ]
    assert interval(-0.44, 12.0) == "[−0.4, 12.0]"
    assert interval(math.nan, 1.0) == "–"
    assert [p_value(value) for value in (0.0004, 0.0316, 1.0, math.nan)] == ["< .001", ".032", "1.000", "–"]
    assert share(0.505) in ("50 %", "51 %")


def test_scores_stand_side_by_side_with_what_they_share_below(results):
    (table,) = results_tables(results)
    assert table.columns == (
        "Loss",
        "VL-T5, VQA, VQA accuracy",
        "VL-T5, Captioning, CIDEr",
        "VL-T5, Translation, BLEU",
        "BLIP, VQA, VQA accuracy",
        "BLIP, Captioning, CIDEr",
    )
    assert [row[0] for row in table.rows] == [
        "teacher",
        "ce",
        "logit_kd",
        "one_to_one",
        "student_mean",
        "amad_kl",
    ]
    row = results.query("primary and family == 'vlt5' and task == 'translation' and loss == 'amad_kl'").iloc[
        0
    ]
    half = (row["ci_high"] - row["ci_low"]) / 2
    assert table.rows[5][3] == f"{row['mean']:.1f} ± {half:.1f}"
    assert table.note.startswith("Scenes; 8 → 2 heads; students 2 × 48; 6,000 training examples;")
    assert table.note.endswith("2 seeds a loss; 240 test examples.")


def test_many_settings_are_several_tables_of_even_width(results):
    many = pd.concat([results.assign(pretraining=name) for name in ("none", "text", "vl")])
    tables = results_tables(many[many["task"] == "vqa"])
    assert [len(table.columns) for table in tables] == [4, 4]
    assert results_tables(results[results["task"] == "no such"]) == []


def test_failed_runs_and_warnings_are_in_the_table(results):
    some = results[results["task"] == "vqa"].assign(n_failed=1, warning="few images")
    (table,) = results_tables(some)
    assert all(" seeds)" in text for row in table.rows for text in row[1:])
    assert table.note.endswith("Warning: few images.")


def test_where_less_is_better_the_note_says_so(results):
    (table,) = results_tables(results[results["task"] == "translation"].assign(metric="TER"))
    assert "less is better: TER" in table.note


def test_contrasts_are_told_by_data_and_setting(collected):
    comparisons = MAKERS[TableName.COMPARISONS](collected)
    tables = comparisons_tables(pd.concat([comparisons, comparisons.assign(student_heads=4)]))
    assert len(tables) == 5
    assert tables[0].title == "VL-T5, VQA, Scenes: differences between losses, VQA accuracy"
    assert tables[0].columns[:3] == ("Setting", "Contrast", "Difference")
    assert {row[0] for row in tables[0].rows} == {"8 → 2 heads", "8 → 4 heads"}
    first = comparisons.iloc[0]
    assert tables[0].rows[0][1:4] == (
        f"{first['loss_a']} − {first['loss_b']}",
        f"{first['difference']:+.1f}".replace("-", "−"),
        f"[{first['ci_low']:.1f}, {first['ci_high']:.1f}]".replace("-", "−"),
    )
    assert comparisons_tables(comparisons)[0].columns[0] == "Contrast"


def test_rows_without_numbers_have_dashes(collected):
    headroom = MAKERS[TableName.HEADROOM](collected)
    tables = headroom_tables(headroom.assign(teacher_blind=math.nan))
    at = tables[0].columns.index("Teacher, shuffled images")
    assert [row[at] for row in tables[0].rows] == ["–"]


def test_one_reason_is_one_row(collected):
    assert failures_tables(collected.failures) == []
    failed = pd.DataFrame(
        {"run_id": [f"r{n}" for n in range(5)], "status": "not_run", "reason": ["a"] * 4 + ["b"]}
    )
    (table,) = failures_tables(failed)
    assert table.rows == (("r0, r1, r2 and 1 more", "4", "not run", "a"), ("r4", "1", "not run", "b"))


def test_the_protocol_says_what_was_trained(collected):
    table = protocol_table(collected.runs)
    assert table.rows[0] == (
        "VL-T5, VQA, Scenes",
        "VQA accuracy",
        "8 heads, 2 × 48, 6,000 examples, 1,000 steps",
        "2 heads, 2 × 48, 6,000 examples, 1,000 steps",
        "raw patches of regions",
        "240",
    )
    unread = collected.runs.assign(features=None, status="not_run", split_examples=None)
    assert protocol_table(unread).rows[0][4:] == (
        unread["inputs"].iloc[0],
        "",
    )


def test_every_printed_table_has_a_printer_and_two_files(collected, tmp_path):
    assert tuple(PRINTERS) == PRINTED
    tables = {TableName(name): getattr(collected, name) for name in COLLECTED}
    tables |= {name: make(collected) for name, make in MAKERS.items()}
    print_tables(tables, tmp_path)
    folder = ResultsFolder(tmp_path)
    assert sorted(folder.tables.iterdir()) == sorted(folder.printed_files())
    assert "VL-T5" in folder.table(TableName.COMPARISONS, "md").read_text()
    assert r"\toprule" in folder.table(TableName.CLAIMS, "tex").read_text()
