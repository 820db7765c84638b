"""The two figures: scores per loss, and scores over the head gap, with 95 % intervals; PDF and PNG.

Drawn from the results table only. Colours and markers go with the loss, in all panels of both figures.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from amad_bench.analysis.drawing import (
    GREY,
    STYLE,
    Look,
    dashed,
    finish,
    grid,
    labels,
    looks,
    marked,
    named_student,
    pages,
    wrapped,
    write_figure,
)
from amad_bench.analysis.run_columns import UNCUT
from amad_bench.analysis.settings import SETTING, TEACHER, grouped, seen_images
from amad_bench.data.formats.overlap import NO_OVERLAP
from amad_bench.plan.catalogue import METRICS, UNBOUNDED
from amad_bench.runtime.results import FigureName

HEADS = ["teacher_heads", "student_heads"]
WITHOUT_HEADS = [axis for axis in SETTING if axis not in HEADS]
HEAD_GAP_HEIGHT = 2.9  # inches of a panel


def figures(results: pd.DataFrame, folder: Path) -> list[Path]:
    """Write losses.{pdf,png} and head_gap.{pdf,png} from the results table; the paths written.

    Losses without a score are left out, and so are panels without any. Panels that one page does not hold
    stand on several, by family and task.
    """
    drawn: Any = results[results["primary"] & results["mean"].notna()]
    look = looks([loss for loss in dict.fromkeys(drawn["loss"]) if loss != TEACHER])
    by_loss = _pages(drawn, SETTING, _losses_height(drawn))
    by_gap = _pages(drawn, WITHOUT_HEADS, HEAD_GAP_HEIGHT)
    with matplotlib.rc_context(STYLE):
        return [
            *write_figure([_losses_figure(page, look) for page in by_loss], folder / FigureName.LOSSES),
            *write_figure([_head_gap_figure(page, look) for page in by_gap], folder / FigureName.HEAD_GAP),
        ]


def _pages(drawn: pd.DataFrame, panel: list[str], height: float) -> list[pd.DataFrame]:
    """The rows of each page, in a figure with a panel for each combination of the columns `panel`."""
    numbers = drawn.groupby(panel, sort=False, dropna=False).ngroup()
    first: Any = drawn[~numbers.duplicated()]
    topics = list(zip(first["family"], first["task"], strict=True))
    return [drawn.loc[numbers.isin(page)] for page in pages(topics, height)]


def _losses_height(drawn: pd.DataFrame) -> float:
    """Inches of a panel: all its losses in a column."""
    return 1.4 + 0.22 * max((len(rows) for _, rows in grouped(drawn, SETTING)), default=1)


def _losses_figure(drawn: pd.DataFrame, look: Mapping[str, Look]) -> Figure:
    """A panel per setting: a row per loss, dashed lines for the teacher and the plain student."""
    panels = grouped(drawn, SETTING)
    figure, axes = grid(len(panels), _losses_height(drawn))
    for (setting, rows), ax in zip(panels, axes, strict=True):
        by_loss = rows.set_index("loss")
        losses = [loss for loss in look if loss in by_loss.index]
        for name, dashes in ((TEACHER, (6, 2)), ("ce", (2, 2))):
            if name in by_loss.index:
                ax.axvline(by_loss.at[name, "mean"], color=GREY, linewidth=1, dashes=dashes, zorder=1)
        for position, loss in enumerate(losses):
            row = by_loss.loc[loss]
            _point(ax, row, look[loss], x=row["mean"], y=position, horizontal=True)
        ax.set_yticks(range(len(losses)), losses)
        ax.set_ylim(len(losses) - 0.4, -0.6)  # the first loss on top
        ax.set_xlim(*_limits(rows))
        ax.grid(axis="y", visible=False)
        ax.set_xlabel(_axis_label(rows["metric"].iloc[0]))
        ax.set_title(_title(rows, f"{setting['teacher_heads']} → {setting['student_heads']} heads"))
    lines = [dashed("teacher", (6, 2)), dashed("ce (no distillation)", (2, 2))]
    return finish(figure, [*lines, marked("mean and 95 % interval", ((0, 0, 0), "o"), size=5)])


def _head_gap_figure(drawn: pd.DataFrame, look: Mapping[str, Look]) -> Figure:
    """A panel for settings alike but for head counts, which are on the x axis, the smallest gap first."""
    panels = grouped(drawn, WITHOUT_HEADS)
    figure, axes = grid(len(panels), HEAD_GAP_HEIGHT)
    for (_, rows), ax in zip(panels, axes, strict=True):
        heads = list(zip(rows["teacher_heads"], rows["student_heads"], strict=True))
        gaps = sorted(set(heads), key=lambda gap: (gap[0] / gap[1], *gap))
        placed = rows.assign(place=[gaps.index(gap) for gap in heads]).sort_values("place")
        by_loss = {values["loss"]: own for values, own in grouped(placed, ["loss"])}
        losses = [loss for loss in look if loss in by_loss]
        offsets = (np.arange(len(losses)) - (len(losses) - 1) / 2) * 0.7 / max(len(losses), 1)
        for _, row in by_loss.get(TEACHER, placed.head(0)).iterrows():
            ends = [row["place"] - 0.42, row["place"] + 0.42]
            ax.plot(ends, [row["mean"], row["mean"]], color=GREY, dashes=(6, 2), linewidth=1)
        for loss, offset in zip(losses, offsets, strict=True):
            own: Any = by_loss[loss]
            ax.plot(own["place"] + offset, own["mean"], color=look[loss][0], linewidth=0.7, alpha=0.5)
            for _, row in own.iterrows():
                _point(ax, row, look[loss], x=row["place"] + offset, y=row["mean"], horizontal=False)
        ax.set_xticks(range(len(gaps)), [f"{teacher} → {student}" for teacher, student in gaps])
        ax.set_xlim(-0.6, len(gaps) - 0.4)
        ax.set_ylim(*_limits(rows))
        ax.grid(axis="x", visible=False)
        ax.set_xlabel("Heads (teacher → student)")
        ax.set_ylabel(_axis_label(rows["metric"].iloc[0]))
        ax.set_title(_title(rows))
    marks = [marked(loss, own, size=5) for loss, own in look.items()]
    return finish(figure, [*marks, dashed("teacher", (6, 2))])


def _point(ax: Axes, row: pd.Series, look: Look, x: float, y: float, horizontal: bool) -> None:
    colour, marker = look
    if np.isfinite(row["ci_low"]):
        span = [row["ci_low"], row["ci_high"]]
        ax.plot(*((span, [y, y]) if horizontal else ([x, x], span)), color=colour, linewidth=1.2, zorder=2)
    ax.plot([x], [y], color=colour, marker=marker, markersize=5, linestyle="none", zorder=3)


def _limits(rows: pd.DataFrame) -> tuple[float, float]:
    """Room for all means and intervals, but no further than a score can go; the better end comes last."""
    low = np.nanmin(rows[["mean", "ci_low"]].to_numpy(dtype=float))
    high = np.nanmax(rows[["mean", "ci_high"]].to_numpy(dtype=float))
    margin = 0.06 * (high - low) or 1.0
    metric = METRICS[rows["metric"].iloc[0]]
    ends = max(low, metric.minimum) - margin, min(high, metric.maximum) + margin
    return ends if metric.higher_is_better else ends[::-1]


def _axis_label(name: str) -> str:
    metric = METRICS[name]
    span = f"{metric.minimum:g}–{metric.maximum:g}"
    if metric.maximum == UNBOUNDED:
        span = f"{metric.minimum:g} or more" if metric.minimum > -UNBOUNDED else "any number"
    elif metric.minimum == -UNBOUNDED:
        span = f"{metric.maximum:g} or less"
    direction = "" if metric.higher_is_better else "; less is better"
    return f"{metric.label} (points, {span}{direction})"


def _title(rows: pd.DataFrame, *heads: str) -> str:
    """Names of what is shown; then, on lines of their own, amount of data, view of an image, and flaws."""
    first = rows.iloc[0]
    pretraining = (first["teacher_pretraining"], first["pretraining"])
    conditions = [] if pretraining == ("none", "none") else ["pre-training " + " → ".join(pretraining)]
    conditions += [] if first["cut"] in UNCUT else [f"cut: {first['cut']}"]
    conditions += ["equal FLOPs"] if first["budget"] == "flops" else []
    conditions += [f"{first['examples']} training examples", first["limit"]]
    names = [*labels(first), *heads, f"{named_student(first)} {first['student_shape']}"]
    lines = [", ".join(names), "; ".join(conditions), seen_images(first)]
    if first["image_overlap"] != NO_OVERLAP:
        lines.append(f"images in two splits: {first['image_overlap']}")
    lines += [text for text in dict.fromkeys(rows["warning"]) if text]
    return wrapped(lines)
