"""Scores per loss, a panel for each setting."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

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
)
from amad_bench.analysis.figures.sheet import Drawing, Page, finish, pages, sheet
from amad_bench.analysis.figures.titles import in_points, n_of, titles_and_notes
from amad_bench.analysis.settings import AMAD, CE, SETTING, TEACHER, grouped
from amad_bench.plan.catalogue import METRICS

TITLE = "Test scores per loss"
NOTHING = "No student has a score on its primary metric yet."
LOGITS = "logit_kd"
DASHES = {TEACHER: (6, 2), CE: (2, 2)}  # of the lines to compare with
ROW, REST = 0.17, 0.75  # inches of a loss, and of what else a panel has


def draw_losses(results: Frame) -> Drawing:
    """A row per loss with its mean and interval, dashed lines for the teacher and the plain student.

    results: the table. Losses without a score are left out, and so are panels without any.
    """
    drawn = primary_scores(results)
    panels = [(values, rows) for values, rows in grouped(drawn, SETTING) if with_students(rows)]
    look = loss_looks(results)
    height = REST + ROW * max((len(set(rows["loss"]) - {TEACHER}) for _, rows in panels), default=1)
    found = [_page([panels[n][1] for n in page], look, height) for page in pages(len(panels), height)]
    return Drawing(TITLE, found, "" if found else NOTHING)


def primary_scores(results: Frame) -> Frame:
    """The rows of the table `results` with the scores that figures show."""
    found = results[results["primary"].astype(bool) & results["mean"].notna()]
    return pd.DataFrame(found)


def with_students(rows: Frame) -> bool:
    """Whether one of the rows is not a teacher's."""
    return bool((rows["loss"] != TEACHER).any())


def loss_looks(planned: Frame) -> dict[str, Look]:
    """Look of each loss of a sweep, the same in all its figures: AMAD last, what it is compared with before.

    planned: a table with a row or more for each loss in its column `loss`.
    """
    losses = {loss for loss in planned["loss"].dropna() if loss != TEACHER}
    return looks(sorted(losses, key=lambda loss: (loss.startswith(AMAD), loss != CE, loss != LOGITS, loss)))


def _page(panels: Sequence[Frame], look: dict[str, Look], height: float) -> Page:
    titles, notes = titles_and_notes([rows.iloc[0] for rows in panels], "teacher_heads")
    figure, axes = sheet(len(panels), height)
    for rows, title, ax in zip(panels, titles, axes, strict=True):
        by_loss = rows.drop_duplicates("loss").set_index("loss", drop=False)
        losses = by_name(look, list(by_loss.index))
        for name, dashes in DASHES.items():
            if name in by_loss.index:
                ax.axvline(by_loss.at[name, "mean"], dashes=dashes, zorder=1, **GREY)
        for place, loss in enumerate(losses):
            row = by_loss.loc[loss]
            points(ax, look[loss], [row["mean"]], [place])
        shown = by_loss.loc[losses]
        colours = [look[loss][0] for loss in losses]
        intervals(ax, colours, range(len(losses)), shown["ci_low"], shown["ci_high"], upright=False)
        ax.set_yticks(range(len(losses)), losses)
        ax.set_ylim(len(losses) - 0.4, -0.6)  # the first loss on top
        ax.set_xlim(*limits(rows))
        ax.grid(axis="y", visible=False)
        ax.set_xlabel(f"{in_points(rows['metric'].iloc[0])}\n{n_of(rows[rows['loss'] != TEACHER])}")
        ax.set_title(title)
    notes.insert(0, "Mean over seeds with its 95 % interval, over seeds and test examples.")
    handles = [dashed("teacher", DASHES[TEACHER]), dashed("ce: no distillation", DASHES[CE])]
    return finish(figure, TITLE, notes, [*handles, marked("mean, 95 % interval", (INK, "o"))])


def limits(rows: Frame) -> tuple[float, float]:
    """Room for all means and intervals, but no further than a score can go; the better end comes last."""
    low = np.nanmin(rows[["mean", "ci_low"]].to_numpy(dtype=float))
    high = np.nanmax(rows[["mean", "ci_high"]].to_numpy(dtype=float))
    margin = 0.06 * (high - low) or 1.0
    metric = METRICS[rows["metric"].iloc[0]]
    ends = max(low, metric.minimum) - margin, min(high, metric.maximum) + margin
    return ends if metric.higher_is_better else ends[::-1]
