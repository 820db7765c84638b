"""The figure of learning curves: validation score over training steps, a line per pre-training condition."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from amad_bench.analysis.drawing import (
    GREY,
    STYLE,
    WIDTH,
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
from amad_bench.analysis.learning_curves import comparable, fixed_scores, mean_curves
from amad_bench.analysis.run_columns import UNCUT
from amad_bench.analysis.settings import CE
from amad_bench.plan import catalogue
from amad_bench.runtime.results import FigureName

FIXED = (6, 2)  # dashes of the fixed score
HEIGHT = 2.9  # inches of a panel
NOTHING = "No finished teacher or ce student was trained\nunder several pre-training conditions."


def draw_learning_curves(runs: pd.DataFrame, curves: pd.DataFrame, folder: Path) -> list[Path]:
    """Write learning_curves.{pdf,png} from the tables `runs` and `learning_curves`; the paths written.

    A panel per family, task and model that was trained on labels alone (teachers, `ce` students) from several
    pre-training conditions; a sentence where there is none. Panels that one page does not hold stand on
    several, by family and task.
    """
    with matplotlib.rc_context(STYLE):
        return write_figure(_figures(runs, curves), folder / FigureName.LEARNING_CURVES)


def _figures(runs: pd.DataFrame, curves: pd.DataFrame) -> list[Figure]:
    """One figure for each page."""
    without_teacher: Any = runs[runs["loss_name"] == CE]
    compared: Any = comparable(without_teacher)
    points: Any = mean_curves(compared, curves)
    if points.empty:
        figure = Figure(figsize=(WIDTH, 1.0))
        figure.text(0.5, 0.5, NOTHING, ha="center", va="center", fontsize=8.5)
        return [figure]
    fixed = fixed_scores(points)
    names = {
        row["condition"]: _name(row)
        for row in compared.drop_duplicates("condition").to_dict("records")
        if row["condition"] in set(points["condition"])
    }
    # A condition looks alike in every figure, whichever of the others occur.
    look = looks(list(dict.fromkeys([*catalogue.PRETRAINING, *names.values()])))
    first = compared.drop_duplicates("group").set_index("group").to_dict("index")
    marks = [marked(name, own, size=4) for name, own in look.items() if name in names.values()]
    marks.append(dashed("best of none", FIXED))
    look_of: dict[Any, Look] = {condition: look[name] for condition, name in names.items()}
    panels = list(points.groupby("group"))
    topics = [(first[group]["family"], first[group]["task"]) for group, _ in panels]
    figures = []
    for page in pages(topics, HEIGHT):
        figure, axes = grid(len(page), HEIGHT)
        for (group, own), ax in zip([panels[number] for number in page], axes, strict=True):
            _panel(ax, own, fixed.get(group), look_of)
            ax.set_title(_title(first[group]))
        figures.append(finish(figure, marks))
    return figures


def _panel(ax: Axes, points: pd.DataFrame, fixed: float | None, look_of: Mapping[Any, Look]) -> None:
    """A curve for each of a group's conditions: the mean over replicates; the band is from the lowest to the
    highest of them. fixed: the group's score to reach, if there is one.
    """
    if fixed is not None:
        ax.axhline(fixed, color=GREY, linewidth=1, dashes=FIXED, zorder=1)
    for condition, line in points.groupby("condition"):
        colour, marker = look_of[condition]
        ax.fill_between(line["step"], line["low"], line["high"], color=colour, alpha=0.15, linewidth=0)
        ax.plot(line["step"], line["mean"], color=colour, marker=marker, markersize=4, linewidth=1.2)
    ax.set_xlabel("Step")
    ax.set_ylabel("Validation tokens right (share)")


def _name(run: Mapping[str, Any]) -> str:
    return run["pretraining"] if run["cut"] in UNCUT else f"{run['pretraining']}, {run['cut']}"


def _title(run: Mapping[str, Any]) -> str:
    model, heads = run["kind"], f"{run['heads']}"
    if run["kind"] == "student":
        model, heads = named_student(run), f"{run['teacher_heads']} → {heads}"
    block = f" (block {run['block']})" if run["kind"] == "teacher" and pd.notna(run["block"]) else ""
    lines = [
        ", ".join(labels(run)),
        f"{model}, {heads} heads{block}, {run['shape']}",
        f"{run['examples']} training examples; {run['limit']}",
        run["inputs"],
    ]
    return wrapped(lines)
