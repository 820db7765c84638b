"""Scores over the head gap, a panel for settings alike but for head counts."""

from collections.abc import Sequence

from amad_bench.analysis.figures.drawing import (
    GREY,
    Frame,
    Look,
    by_name,
    dashed,
    intervals,
    marked,
    points,
    spread,
)
from amad_bench.analysis.figures.losses import (
    DASHES,
    NOTHING,
    limits,
    loss_looks,
    primary_scores,
    with_students,
)
from amad_bench.analysis.figures.sheet import Drawing, Page, finish, pages, sheet
from amad_bench.analysis.figures.titles import in_points, n_of, titles_and_notes
from amad_bench.analysis.settings import SETTING, TEACHER, grouped

TITLE = "Test scores over the head counts of teacher and student"
HEADS = ["teacher_heads", "student_heads"]
WITHOUT_HEADS = [axis for axis in SETTING if axis not in HEADS]
HEIGHT = 2.25  # inches of a panel


def draw_head_gap(results: Frame) -> Drawing:
    """A mark per loss with its interval over each pair of head counts, the smallest gap first."""
    drawn = primary_scores(results)
    panels = [(values, rows) for values, rows in grouped(drawn, WITHOUT_HEADS) if with_students(rows)]
    if not panels:
        return Drawing(TITLE, nothing=NOTHING)
    if len(drawn.drop_duplicates(HEADS)) == 1:
        return Drawing(TITLE, nothing="Only one pair of head counts was run, so nothing is drawn over them.")
    look = loss_looks(results)
    found = [_page([panels[n][1] for n in page], look) for page in pages(len(panels), HEIGHT)]
    return Drawing(TITLE, found)


def _page(panels: Sequence[Frame], look: dict[str, Look]) -> Page:
    titles, notes = titles_and_notes([rows.iloc[0] for rows in panels], without=["teacher_heads"])
    figure, axes = sheet(len(panels), HEIGHT)
    shown: set[str] = set()
    for rows, title, ax in zip(panels, titles, axes, strict=True):
        heads = list(zip(rows["teacher_heads"], rows["student_heads"], strict=True))
        gaps = sorted(set(heads), key=lambda gap: (gap[0] / gap[1], *gap))
        placed = rows.assign(place=[gaps.index(gap) for gap in heads]).sort_values("place")
        losses = by_name(look, list(rows["loss"]))
        shown |= set(losses)
        teacher = placed[placed["loss"] == TEACHER]
        ax.hlines(
            teacher["mean"],
            teacher["place"] - 0.42,
            teacher["place"] + 0.42,
            linestyles=(0, DASHES[TEACHER]),
            **GREY,
        )
        for loss, offset in zip(losses, spread(len(losses)), strict=True):
            own = placed[placed["loss"] == loss]
            at = own["place"] + offset
            intervals(ax, look[loss][0], at, own["ci_low"], own["ci_high"], upright=True)
            points(ax, look[loss], at, own["mean"], line=True)
        ax.set_xticks(range(len(gaps)), [f"{teacher} → {student}" for teacher, student in gaps])
        ax.set_xlim(-0.6, len(gaps) - 0.4)
        ax.set_ylim(*limits(rows))
        ax.grid(axis="x", visible=False)
        ax.set_xlabel(f"Heads (teacher → student)\n{n_of(rows[rows['loss'] != TEACHER])}")
        ax.set_ylabel(in_points(rows["metric"].iloc[0]))
        ax.set_title(title)
    notes.insert(0, "Mean over seeds with its 95 % interval, over seeds and test examples.")
    marks = [marked(loss, own, line=False) for loss, own in look.items() if loss in shown]
    return finish(figure, TITLE, notes, [*marks, dashed("teacher", DASHES[TEACHER])])
