"""Sharpness of the alignment of heads, beside its bound and beside no alignment at all."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from amad_bench.analysis.figures.drawing import GREY, Frame, Look, by_name, dashed, marked
from amad_bench.analysis.figures.losses import loss_looks
from amad_bench.analysis.figures.sheet import Drawing, Page, finish, pages, sheet
from amad_bench.analysis.figures.titles import titles_and_notes
from amad_bench.analysis.settings import SETTING, grouped, settings

TITLE = "Sharpness of the alignment of heads over training"
NOTHING = "No finished run has a loss that aligns heads."
BOUND, UNIFORM = (5, 2), (1, 1.5)  # dashes
HEIGHT = 2.1  # inches of a panel
NOTE = (
    "Sharpness: the largest weight of a teacher head, mean over its heads, aligned layers and seeds; band: "
    "lowest to highest seed. Dashed, in the loss's colour: the sharpest that AMAD can be, e^(1/τ) / (e^(1/τ) "
    "+ G − 1) with G student heads and temperature τ. Dotted: all weights alike, 1/G. Weights are logged as "
    "the mean over the samples of a batch, which is less sharp than each of them."
)


def draw_sharpness(runs: Frame, alignments: Frame) -> Drawing:
    """A line per loss over the logged steps, a panel per setting; bounds dashed, 1/G dotted."""
    curves = mean_sharpness(runs, alignments)
    panels = grouped(curves, SETTING)
    if not panels:
        return Drawing(TITLE, nothing=NOTHING)
    look = loss_looks(runs[runs["kind"] == "student"])
    found = [_page([panels[n][1] for n in page], look) for page in pages(len(panels), HEIGHT)]
    return Drawing(TITLE, found)


def mean_sharpness(runs: Frame, alignments: Frame) -> Frame:
    """By setting, loss and step: mean, low and high of the sharpness over seeds; bound, uniform, counts."""
    students: Any = pd.concat([runs.head(0), *(setting.students for setting in settings(runs))])
    measured = alignments[["run_id", "step", "layer", "sharpness", "bound", "uniform"]]
    lines: Any = students[["run_id", *SETTING, "loss"]].merge(measured, on="run_id")
    by_run = lines.groupby([*SETTING, "loss", "step", "run_id"], sort=False, dropna=False)
    own = by_run.agg(
        sharpness=("sharpness", "mean"),
        bound=("bound", "mean"),
        uniform=("uniform", "mean"),
        layers=("layer", "size"),
    )
    curves = own.reset_index().groupby([*SETTING, "loss", "step"], sort=False, dropna=False)
    return curves.agg(
        mean=("sharpness", "mean"),
        low=("sharpness", "min"),
        high=("sharpness", "max"),
        bound=("bound", "mean"),
        uniform=("uniform", "mean"),
        n_seeds=("run_id", "nunique"),
        n_layers=("layers", "max"),
    ).reset_index()


def _page(panels: Sequence[Frame], look: dict[str, Look]) -> Page:
    titles, notes = titles_and_notes([rows.iloc[0] for rows in panels], "teacher_heads")
    figure, axes = sheet(len(panels), HEIGHT)
    shown: set[str] = set()
    for rows, title, ax in zip(panels, titles, axes, strict=True):
        losses = by_name(look, list(rows["loss"]))
        shown |= set(losses)
        for loss in losses:
            own, (colour, marker) = rows[rows["loss"] == loss], look[loss]
            ax.fill_between(own["step"], own["low"], own["high"], color=colour, alpha=0.15, linewidth=0)
            every = max(1, len(own) // 6)
            ax.plot(
                own["step"],
                own["mean"],
                color=colour,
                marker=marker,
                markersize=4,
                markevery=every,
                linewidth=1.2,
            )
            if own["bound"].notna().any():
                ax.axhline(own["bound"].iloc[0], color=colour, linewidth=1, dashes=BOUND, zorder=1)
        for uniform in sorted(set(rows["uniform"])):
            ax.axhline(uniform, dashes=UNIFORM, zorder=1, **GREY)
        top = rows[["mean", "high", "bound"]].max().max()
        low = rows[["low", "uniform"]].min().min()
        ax.set_ylim(
            max(0.0, low - 0.15 * (top - low)), min(1.0, top + 0.15 * (top - low)) if top > low else 1.0
        )
        layers = int(rows["n_layers"].max())
        seeds = int(rows["n_seeds"].max())
        ax.set_xlabel(f"Step; n = {seeds} {_count('seed', seeds)} × {layers} {_count('layer', layers)}")
        ax.set_ylabel("Largest weight (share)")
        ax.set_title(title)
    marks = [marked(loss, own) for loss, own in look.items() if loss in shown]
    handles = [*marks, dashed("bound of AMAD", BOUND), dashed("uniform, 1/G", UNIFORM)]
    return finish(figure, TITLE, [NOTE, *notes], handles)


def _count(word: str, number: int) -> str:
    return word if number == 1 else f"{word}s"
