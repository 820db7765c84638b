"""The figure of learning curves: validation score over training steps, a line per pre-training condition."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from amad_bench.analysis.axes import RANDOM
from amad_bench.analysis.cells import CE
from amad_bench.analysis.drawing import (
    GREY,
    STYLE,
    WIDTH,
    Look,
    dashed,
    finish,
    grid,
    looks,
    wrapped,
    write_figure,
)
from amad_bench.analysis.learning_curves import comparable, fixed_scores, mean_curves
from amad_bench.plan import catalogue

FIXED = (6, 2)  # dashes of the fixed score
NOTHING = "No finished teacher or ce student was trained\nunder several pre-training conditions."


def draw_learning_curves(runs: pd.DataFrame, curves: pd.DataFrame, folder: Path) -> list[Path]:
    """Write learning_curves.{pdf,png} from the tables `runs` and `learning_curves`; the paths written.

    A panel per family, task and model that was trained on labels alone (teachers, `ce` students) from several
    pre-training conditions; a sentence where there is none.
    """
    with matplotlib.rc_context(STYLE):
        return write_figure(_figure(runs, curves), folder / "learning_curves")


def _figure(runs: pd.DataFrame, curves: pd.DataFrame) -> Figure:
    without_teacher: Any = runs[runs["loss_name"] == CE]
    compared: Any = comparable(without_teacher)
    points: Any = mean_curves(compared, curves)
    if points.empty:
        figure = Figure(figsize=(WIDTH, 1.0))
        figure.text(0.5, 0.5, NOTHING, ha="center", va="center", fontsize=8.5)
        return figure
    fixed = fixed_scores(points)
    names = {
        row["condition"]: _name(row)
        for row in compared.drop_duplicates("condition").to_dict("records")
        if row["condition"] in set(points["condition"])
    }
    # A condition looks alike in every figure, whichever of the others occur.
    look = looks(list(dict.fromkeys([*catalogue.PRETRAINING, *names.values()])))
    first = compared.drop_duplicates("group").set_index("group").to_dict("index")
    panels = points.groupby("group")
    figure, axes = grid(len(panels), height=2.9)
    for (group, own), ax in zip(panels, axes, strict=True):
        if group in fixed:
            ax.axhline(fixed[group], color=GREY, linewidth=1, dashes=FIXED, zorder=1)
        for condition, line in own.groupby("condition"):
            _curve(ax, line, look[names[condition]])
        ax.set_xlabel("Step")
        ax.set_ylabel("Validation tokens right (share)")
        ax.set_title(_title(first[group]))
    marks = [
        Line2D([], [], color=colour, marker=marker, markersize=4, linewidth=1.2, label=name)
        for name, (colour, marker) in look.items()
        if name in names.values()
    ]
    return finish(figure, [*marks, dashed("best of none", FIXED)])


def _name(run: Mapping[str, Any]) -> str:
    return run["pretraining"] if run["init"] == RANDOM else f"{run['pretraining']}, {run['init']}"


def _curve(ax: Axes, line: pd.DataFrame, look: Look) -> None:
    """Mean over replicates; the band is from the lowest to the highest of them."""
    colour, marker = look
    ax.fill_between(line["step"], line["low"], line["high"], color=colour, alpha=0.15, linewidth=0)
    ax.plot(line["step"], line["mean"], color=colour, marker=marker, markersize=4, linewidth=1.2)


def _title(run: Mapping[str, Any]) -> str:
    labels = (
        catalogue.FAMILIES[run["family"]].label,
        catalogue.TASKS[run["task"]].label,
        catalogue.DATASETS[run["dataset"]].label,
    )
    heads = f"{run['teacher_heads']} → {run['heads']}" if run["kind"] == "student" else f"{run['heads']}"
    lines = [
        ", ".join(labels),
        f"{run['kind']}, {heads} heads, {run['shape']}",
        f"{run['examples']} training examples; {run['limit']}",
        run["inputs"],
    ]
    return wrapped(lines)
