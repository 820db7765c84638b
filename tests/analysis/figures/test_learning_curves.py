"""The figure of learning curves: which lines stand in which panel."""

import pytest

from amad_bench.analysis.collect import collect
from amad_bench.analysis.figures.drawing import looks
from amad_bench.analysis.figures.learning_curves import NOTHING, draw_learning_curves
from tests.analysis.figures.frames import drawn, panels

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


def axes_of(tables):
    return panels(drawn(draw_learning_curves, tables.runs, tables.learning_curves))


def test_a_panel_per_family_and_task_with_a_line_per_condition(tables):
    drawing = drawn(draw_learning_curves, tables.runs, tables.learning_curves)
    assert [ax.get_title(loc="left") for ax in panels(drawing)] == [
        "a  VL-T5 · VQA · student 2x48, 8 → 2 heads",
        "b  BLIP · Captioning · student 2x48, 8 → 2 heads",
    ]
    for ax in panels(drawing):
        fixed, *lines = ax.lines
        assert set(fixed.get_ydata()) == {0.5}
        for line, curve in zip(lines, CURVES.values(), strict=True):
            assert line.get_xdata().tolist() == [500, 1000]
            assert line.get_ydata().tolist() == pytest.approx(list(curve.values()))
        bands = [band.get_paths()[0].vertices[:, 1] for band in ax.collections]
        assert [band.min() for band in bands] == pytest.approx([0.39, 0.29, 0.49])
        assert [band.max() for band in bands] == pytest.approx([0.51, 0.46, 0.71])
        assert ax.get_xlabel() == "Step; n = 2 seeds"
    entries = [text.get_text() for text in drawing.pages[0].figure.legends[0].get_texts()]
    assert entries == ["none", "text", "vl", "text, remap", "vl, remap", "best of none"]


def test_conditions_have_colours_and_markers_of_their_own(tables):
    lines = [line for ax in axes_of(tables) for line in ax.lines[1:]]
    seen = {(line.get_color(), line.get_marker()) for line in lines}
    assert len(seen) == 5  # none in both panels, text and vl once as they are, once remapped
    assert {marker for _, marker in seen} == set("osD^v")
    assert looks(["none"])["none"] in seen


def test_only_vl_looks_as_it_does_beside_text(tables):
    without = tables.runs[tables.runs["pretraining"] != "text"]
    (_, none, vl) = panels(drawn(draw_learning_curves, without, tables.learning_curves))[0].lines
    (_, expected_none, _, expected_vl) = axes_of(tables)[0].lines
    for found, expected in ((none, expected_none), (vl, expected_vl)):
        assert (found.get_color(), found.get_marker()) == (expected.get_color(), expected.get_marker())
    assert (none.get_marker(), vl.get_marker()) == ("o", "D")


def test_one_condition_and_nothing_give_a_sentence(fake, fake_results, tmp_path):
    for tables in (collect(*fake_results), collect(fake.plan(), tmp_path)):
        assert draw_learning_curves(tables.runs, tables.learning_curves).nothing == NOTHING


def test_the_teachers_of_a_block_say_whose_they_are(fake, tmp_path):
    changes = {"teacher_per": "block", "pretraining.teacher": ["none", "vl"]}
    plan = fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce",), gaps=((8, 2), (8, 4)), changes=changes)
    for run in plan.runs:
        fake.steps(fake.write(tmp_path, run), CURVES[run.config.pretraining])
    assert [ax.get_title(loc="left") for ax in axes_of(collect(plan, tmp_path))] == [
        "a  VL-T5 · VQA · teacher 2x48, 8 heads, block 8 → 2",
        "b  VL-T5 · VQA · teacher 2x48, 8 heads, block 8 → 4",
    ]


def test_the_name_of_a_students_size_is_in_the_title(tables):
    named = drawn(draw_learning_curves, tables.runs.assign(student="small"), tables.learning_curves)
    assert panels(named)[0].get_title(loc="left").endswith("student small 2x48, 8 → 2 heads")
