"""Scores against what the training of a student costs: operations, and seconds on the machine that ran it."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

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
from amad_bench.analysis.figures.losses import DASHES, limits, loss_looks, primary_scores
from amad_bench.analysis.figures.sheet import Drawing, Page, finish, pages, sheet
from amad_bench.analysis.figures.titles import in_points, n_of, titles_and_notes
from amad_bench.analysis.settings import SETTING, TEACHER, grouped, settings
from amad_bench.runtime.errors import USABLE

TITLE = "Test scores over the cost of training a student"
NOTHING = "No student with a score has a measured cost."
PANEL = [
    "family",
    "task",
    "dataset",
    "limit",
    "examples",
    "inputs",
    "precision",
]  # whose scores are one scale
HEIGHT = 2.25  # inches of a panel
BACKWARD = 2  # a backward pass costs two forward passes
COSTS = {"flops": "Training operations of the student ({}FLOPs)", "seconds": "Seconds of training"}
LARGE = {1e18: "exa", 1e15: "peta", 1e12: "tera", 1e9: "giga", 1.0: ""}
NOTE = (
    "Mean over seeds with its 95 % interval; a mark per setting and loss, those of one cost beside each "
    "other. Operations: forward and backward passes of the student, three times those of a forward pass, "
    "times examples and steps; the teacher's passes and the loss's own products are in the seconds, not in "
    "the operations. Seconds: median over finished seeds, of the machines that ran them, validation included."
)


def draw_cost(results: Frame, runs: Frame) -> Drawing:
    """Two panels for settings that share a scale of scores: over operations and over seconds."""
    drawn = with_costs(primary_scores(results), runs)
    teachers = primary_scores(results)
    panels = grouped(drawn, [axis for axis in PANEL if axis in drawn])
    if not panels:
        return Drawing(TITLE, nothing=NOTHING)
    look = loss_looks(results)
    numbers = pages(2 * len(panels), HEIGHT, together=2)
    found = [_page([panels[number // 2] for number in page[::2]], teachers, look) for page in numbers]
    return Drawing(TITLE, found)


def with_costs(scored: Frame, runs: Frame) -> Frame:
    """Rows of students' scores with the medians of `flops` and `seconds` over their finished runs."""
    students: Any = pd.concat([runs.head(0), *(setting.students for setting in settings(runs))])
    students = students[students["status"].isin(USABLE)]  # a failed run costs less
    students = students[students["flops_per_example"].notna() & students["steps"].notna()]
    batch = [json.loads(training)["batch"] for training in students["training"]]
    passes = (1 + BACKWARD) * students["steps"].astype(float) * batch
    students = students.assign(
        flops=passes * students["flops_per_example"].astype(float),
        seconds=students["train_seconds"].astype(float),
    )
    costs = students.groupby([*SETTING, "loss"], dropna=False)[list(COSTS)].median().reset_index()
    found: Any = scored[scored["loss"] != TEACHER].merge(costs, on=[*SETTING, "loss"])
    return found[(found["flops"] > 0) & (found["seconds"] > 0)]


def _page(panels: Sequence[tuple[Mapping[str, Any], Frame]], teachers: Frame, look: dict[str, Look]) -> Page:
    within = [axis for axis in SETTING if axis not in PANEL]
    titles, notes = titles_and_notes([rows.iloc[0] for _, rows in panels], without=within)
    figure, axes = sheet(2 * len(panels), HEIGHT)
    shown: set[str] = set()
    for number, ((panel, rows), title) in enumerate(zip(panels, titles, strict=True)):
        own = teachers[teachers["loss"] == TEACHER]
        for column, value in panel.items():
            own = own[own[column] == value]
        losses = by_name(look, list(rows["loss"]))
        shown |= set(losses)
        left, right = axes[2 * number : 2 * number + 2]
        unit = next((unit for unit in LARGE if rows["flops"].max() >= unit), 1.0)
        scaled = rows.assign(flops=rows["flops"] / unit)
        for ax, cost in zip((left, right), COSTS, strict=True):
            _panel(ax, scaled, own, cost, {loss: look[loss] for loss in losses})
            ax.set_xlabel(f"{COSTS[cost].format(LARGE[unit])}\n{n_of(rows)}")
        left.set_ylabel(in_points(rows["metric"].iloc[0]))
        left.set_title(title)
    marks = [marked(loss, own, line=False) for loss, own in look.items() if loss in shown]
    return finish(figure, TITLE, [NOTE, *notes], [*marks, dashed("teachers", DASHES[TEACHER])])


def _panel(ax: Axes, rows: Frame, teachers: Frame, cost: str, look: Mapping[str, Look]) -> None:
    for mean in sorted(set(teachers["mean"])):
        ax.axhline(mean, dashes=DASHES[TEACHER], zorder=1, **GREY)
    low, high = rows[cost].min(), rows[cost].max()
    apart = 0.05 * (high - low) or 0.05 * high
    for (loss, own_look), offset in zip(look.items(), spread(len(look), apart), strict=True):
        own = rows[rows["loss"] == loss].sort_values(cost)
        intervals(ax, own_look[0], own[cost] + offset, own["ci_low"], own["ci_high"], upright=True)
        points(ax, own_look, own[cost] + offset, own["mean"])
    ax.set_xlim(max(0.0, low - 3 * apart), high + 3 * apart)
    ax.set_ylim(*limits(pd.concat([rows, teachers])))
