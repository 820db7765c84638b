"""Scores over head counts: one panel, the smallest gap first."""

from amad_bench.analysis.figures.head_gap import draw_head_gap
from tests.analysis.figures.frames import drawn, marks, of_setting, panels, results, spans

GAPS = [(8, 2), (8, 4), (2, 2)]
TABLE = results(
    *[
        row | {"teacher_heads": teacher, "student_heads": student, "mean": row["mean"] + number}
        for number, (teacher, student) in enumerate(GAPS)
        for row in of_setting()
    ]
)


def test_the_smallest_gap_first_and_losses_beside_each_other():
    (ax,) = panels(drawn(draw_head_gap, TABLE))
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["2 → 2", "8 → 4", "8 → 2"]
    by_loss = [sorted(marks(ax))[n::3] for n in range(3)]
    assert [[y for _, y in own] for own in by_loss] == [[57, 56, 55], [62, 61, 60], [67, 66, 65]]
    assert len({x for x, _ in marks(ax)}) == 9
    assert ax.get_xlabel() == "Heads (teacher → student)\nn = 3 seeds × 240 examples"
    upright = {(start, end) for start, end in spans(ax) if start[0] == end[0]}
    assert len(upright) == 9
    teacher = {start[1] for start, end in spans(ax) if start[1] == end[1]}
    assert teacher == {70.0, 71.0, 72.0}


def test_one_pair_of_heads_and_no_score_are_sentences():
    one = draw_head_gap(results(*of_setting()))
    assert one.nothing == "Only one pair of head counts was run, so nothing is drawn over them."
    assert draw_head_gap(TABLE.head(0)).nothing.startswith("No student has a score")
