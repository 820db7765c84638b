"""Gaps between pre-training conditions of the student under each loss: dumbbells, a row per loss."""

from collections.abc import Sequence

from amad_bench.analysis.figures.drawing import (
    GREY,
    INK,
    Frame,
    Look,
    by_name,
    dashed,
    intervals,
    looks,
    marked,
    points,
    spread,
)
from amad_bench.analysis.figures.losses import NOTHING, limits, loss_looks, primary_scores
from amad_bench.analysis.figures.sheet import Drawing, Page, finish, pages, sheet
from amad_bench.analysis.figures.titles import condition, in_points, n_of, titles_and_notes
from amad_bench.analysis.settings import CE, SETTING, TEACHER, grouped
from amad_bench.plan import catalogue

TITLE = "Gaps between pre-training conditions of the student"
WITHIN = ["pretraining", "cut"]  # what differs within a panel
PANEL = [axis for axis in SETTING if axis not in WITHIN]
DASHES = (2, 2)
ROW, REST = 0.3, 0.75  # inches of a loss, and of what else a panel has


def draw_pretraining_gaps(results: Frame) -> Drawing:
    """A row per loss: the mean under each condition, and a bar between the lowest and the highest of them.

    Dashed: `ce` after the last condition, so what pre-training and labels alone reach. Panels are settings
    that differ in the student's condition only; those with one condition are left out.
    """
    drawn = primary_scores(results)
    drawn = drawn[drawn["loss"] != TEACHER]
    drawn = drawn.assign(condition=[condition(row) for row in drawn.to_dict("records")])
    panels: list[Frame] = [rows for _, rows in grouped(drawn, PANEL) if len(set(rows["pretraining"])) > 1]
    if not panels:
        one = "No students with scores differ in their pre-training only."
        return Drawing(TITLE, nothing=NOTHING if drawn.empty else one)
    order = loss_looks(results)
    height = REST + ROW * max(rows["loss"].nunique() for rows in panels)
    look = looks(list(dict.fromkeys([*catalogue.PRETRAINING, *drawn["condition"]])))
    found = [
        _page([panels[n] for n in page], list(order), look, height) for page in pages(len(panels), height)
    ]
    return Drawing(TITLE, found)


def _page(panels: Sequence[Frame], order: list[str], look: dict[str, Look], height: float) -> Page:
    titles, notes = titles_and_notes(
        [rows.iloc[0].to_dict() | {"pretraining": None} for rows in panels], "teacher_heads", without=["cut"]
    )
    figure, axes = sheet(len(panels), height)
    shown: set[str] = set()
    for rows, title, ax in zip(panels, titles, axes, strict=True):
        losses = [loss for loss in order if loss in set(rows["loss"])]
        names = by_name(look, list(rows["condition"]))
        shown |= set(names)
        reached = rows[(rows["loss"] == CE) & (rows["condition"] == names[-1])]
        for mean in reached["mean"]:
            ax.axvline(mean, dashes=DASHES, zorder=1, **GREY)
        ends = rows.groupby("loss")["mean"].agg(["min", "max"]).loc[losses]
        width = (ends["max"] - ends["min"]).to_numpy()
        ax.barh(range(len(losses)), width, left=ends["min"], height=0.55, color=INK, alpha=0.13, linewidth=0)
        for name, offset in zip(names, spread(len(names), 0.4), strict=True):
            own = rows[rows["condition"] == name].set_index("loss")
            own = own.loc[[loss for loss in losses if loss in own.index]]
            at = [losses.index(loss) + offset for loss in own.index]
            intervals(ax, look[name][0], at, own["ci_low"], own["ci_high"], upright=False)
            points(ax, look[name], own["mean"], at)
        ax.set_yticks(range(len(losses)), losses)
        ax.set_ylim(len(losses) - 0.4, -0.6)
        ax.set_xlim(*limits(rows))
        ax.grid(axis="y", visible=False)
        ax.set_xlabel(f"{in_points(rows['metric'].iloc[0])}\n{n_of(rows)}")
        ax.set_title(title)
    notes.insert(
        0,
        "Mean over seeds with its 95 % interval. Bar: from the lowest to the highest condition of the loss.",
    )
    marks = [marked(f"pre-training {name}", own) for name, own in look.items() if name in shown]
    return finish(figure, TITLE, notes, [*marks, dashed("ce after the last of them", DASHES)])
