"""The figure of learning curves: which lines stand in which panel."""

import re

import matplotlib
import pandas as pd
import pytest
from amad_bench.analysis.curves_figure import NOTHING, _figures, draw_learning_curves
from amad_bench.analysis.drawing import STYLE, looks

from amad_bench.analysis.collect import collect

CURVES = {"none": {500: 0.4, 1000: 0.5}, "text": {500: 0.3, 1000: 0.45}, "vl": {500: 0.5, 1000: 0.7}}


@pytest.fixture
def tables(fake, tmp_path):
    """Students of two losses and two replicates from three conditions, of one teacher."""
    changes = {"pretraining.student": list(CURVES), "models.blip.student.cut": "remap"}
    plan = fake.plan(
        tasks=(("vlt5", "vqa"), ("blip", "captioning")), losses=("ce", "amad_kl"), changes=changes
    )
    for run in plan.runs:
        apart = 0.02 * (run.config.replicate - 0.5) if run.kind == "student" else 0
        own = {step: score + apart for step, score in CURVES[run.config.pretraining].items()}
        fake.steps(fake.write(tmp_path, run), own)
    return collect(plan, tmp_path)


def drawn(tables):
    with matplotlib.rc_context(STYLE):
        (figure,) = _figures(tables.runs, tables.learning_curves)
    return figure


def test_a_panel_per_family_and_task_with_a_line_per_condition(tables):
    figure = drawn(tables)
    assert [ax.get_title().splitlines()[:2] for ax in figure.axes] == [
        ["VL-T5, VQA, Scenes", "student, 8 → 2 heads, 2x48"],
        ["BLIP, Captioning, Scenes", "student, 8 → 2 heads, 2x48"],
    ]
    for ax in figure.axes:
        fixed, *lines = ax.lines
        assert set(fixed.get_ydata()) == {0.5}
        assert fixed.get_linestyle() == "--"
        for line, curve in zip(lines, CURVES.values(), strict=True):
            assert line.get_xdata().tolist() == [500, 1000]
            assert line.get_ydata().tolist() == pytest.approx(list(curve.values()))
        bands = [band.get_paths()[0].vertices[:, 1] for band in ax.collections]
        assert [band.min() for band in bands] == pytest.approx([0.39, 0.29, 0.49])
        assert [band.max() for band in bands] == pytest.approx([0.51, 0.46, 0.71])
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert entries == ["none", "text", "vl", "text, remap", "vl, remap", "best of none"]


def test_conditions_have_colours_and_markers_of_their_own(tables):
    lines = [line for ax in drawn(tables).axes for line in ax.lines[1:]]
    seen = {(line.get_color(), line.get_marker()) for line in lines}
    assert len(seen) == 5  # none in both panels, text and vl once as they are, once remapped
    assert {marker for _, marker in seen} == set("osD^v")
    assert looks(["none"])["none"] in seen


def test_only_vl_looks_as_it_does_beside_text(tables):
    without = tables.runs[tables.runs["pretraining"] != "text"]
    with matplotlib.rc_context(STYLE):
        (figure,) = _figures(without, tables.learning_curves)
    (_, none, vl) = figure.axes[0].lines
    (_, expected_none, _, expected_vl) = drawn(tables).axes[0].lines
    assert (none.get_color(), vl.get_color()) == (expected_none.get_color(), expected_vl.get_color())
    assert (none.get_marker(), vl.get_marker()) == ("o", "D")


def test_one_condition_gives_a_sentence(fake_results, tmp_path):
    tables = collect(*fake_results)
    assert [text.get_text() for text in drawn(tables).texts] == [NOTHING]
    paths = draw_learning_curves(tables.runs, tables.learning_curves, tmp_path)
    assert [path.name for path in paths] == ["learning_curves.pdf", "learning_curves.png"]
    assert paths[0].read_bytes().startswith(b"%PDF")
    assert paths[1].read_bytes().startswith(b"\x89PNG")


def test_nothing_has_run_yet(fake, tmp_path):
    tables = collect(fake.plan(), tmp_path)
    assert [text.get_text() for text in drawn(tables).texts] == [NOTHING]


def test_equal_tables_give_equal_bytes(tables, tmp_path):
    for folder in "ab":
        draw_learning_curves(tables.runs, tables.learning_curves, tmp_path / folder)
    for name in ("learning_curves.pdf", "learning_curves.png"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_many_models_stand_on_pages_by_family_and_task(tables, tmp_path):
    """As if every student were trained in eight shapes: 16 panels, and twelve are the most on a page."""
    runs, curves = [], []
    for layers in range(8):
        own = tables.runs.assign(shape=f"{layers}x48", run_id=tables.runs["run_id"] + f"-{layers}")
        runs.append(own)
        curves.append(tables.learning_curves.assign(run_id=tables.learning_curves["run_id"] + f"-{layers}"))
    many = pd.concat(runs, ignore_index=True), pd.concat(curves, ignore_index=True)
    with matplotlib.rc_context(STYLE):
        figures = _figures(*many)
    titles = [[ax.get_title().splitlines()[:2] for ax in figure.axes] for figure in figures]
    assert titles == [
        [[name, f"student, 8 → 2 heads, {layers}x48"] for layers in range(8)]
        for name in ("VL-T5, VQA, Scenes", "BLIP, Captioning, Scenes")
    ]
    pdf, _ = draw_learning_curves(*many, tmp_path)
    assert len(re.findall(rb"/Type /Page\b", pdf.read_bytes())) == 2


def test_the_name_of_a_students_size_is_in_the_title(tables):
    with matplotlib.rc_context(STYLE):
        (figure,) = _figures(tables.runs.assign(student="small"), tables.learning_curves)
    assert figure.axes[0].get_title().splitlines()[1] == "student small, 8 → 2 heads, 2x48"


def test_the_teachers_of_a_block_say_whose_they_are(fake, tmp_path):
    changes = {"teacher_per": "block", "pretraining.teacher": ["none", "vl"]}
    plan = fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce",), gaps=((8, 2), (8, 4)), changes=changes)
    for run in plan.runs:
        fake.steps(fake.write(tmp_path, run), CURVES[run.config.pretraining])
    figure = drawn(collect(plan, tmp_path))
    assert [ax.get_title().splitlines()[1] for ax in figure.axes] == [
        "teacher, 8 heads (block 8 -> 2), 2x48",
        "teacher, 8 heads (block 8 -> 4), 2x48",
    ]
