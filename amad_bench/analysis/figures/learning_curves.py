"""Learning curves: validation score over training steps, a line per pre-training condition."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from amad_bench.analysis.figures.drawing import GREY, Frame, Look, dashed, looks, marked
from amad_bench.analysis.figures.sheet import Drawing, finish, pages, sheet
from amad_bench.analysis.figures.titles import condition, head_gap, titles_and_notes
from amad_bench.analysis.learning_curves import comparable, fixed_scores, mean_curves
from amad_bench.analysis.settings import CE
from amad_bench.plan import catalogue

TITLE = "Validation score over training steps, by pre-training condition"
FIXED = (6, 2)  # dashes of the fixed score
HEIGHT = 2.2  # inches of a panel
NOTHING = "No finished teacher or ce student was trained under several pre-training conditions."
NOTE = "Mean of the replicates; the band is from the lowest to the highest of them. Trained on labels alone."


def draw_learning_curves(runs: Frame, curves: Frame) -> Drawing:
    """A panel per model that was trained on labels alone (teachers, `ce` students) from several conditions.

    runs, curves: the tables `runs` and `learning_curves`.
    """
    without_teacher: Any = runs[runs["loss_name"] == CE]
    compared: Any = comparable(without_teacher)
    found: Any = mean_curves(compared, curves)
    if found.empty:
        return Drawing(TITLE, nothing=NOTHING)
    fixed = fixed_scores(found)
    names = {
        row["condition"]: condition(row)
        for row in compared.drop_duplicates("condition").to_dict("records")
        if row["condition"] in set(found["condition"])
    }
    # A condition looks alike in every figure, whichever of the others occur.
    look = looks(list(dict.fromkeys([*catalogue.PRETRAINING, *names.values()])))
    first = compared.drop_duplicates("group").set_index("group", drop=False).to_dict("index")
    marks = [marked(name, own) for name, own in look.items() if name in names.values()]
    marks.append(dashed("best of none", FIXED))
    look_of: dict[Any, Look] = {number: look[name] for number, name in names.items()}
    panels = list(found.groupby("group"))
    replicates = compared.groupby("group")["replicate"].nunique()
    drawn = []
    for page in pages(len(panels), HEIGHT):
        groups = [panels[number][0] for number in page]
        titles, notes = _titles([first[group] for group in groups])
        figure, axes = sheet(len(page), HEIGHT)
        for group, title, number, ax in zip(groups, titles, page, axes, strict=True):
            _panel(ax, panels[number][1], fixed.get(group), look_of)
            seeds = int(replicates[group])
            ax.set_xlabel(f"Step; n = {seeds} {'seed' if seeds == 1 else 'seeds'}")
            ax.set_title(title)
        drawn.append(finish(figure, TITLE, [NOTE, *notes], marks))
    return Drawing(TITLE, drawn)


def _panel(ax: Axes, points: Frame, fixed: float | None, look_of: Mapping[Any, Look]) -> None:
    """A curve for each of a group's conditions. fixed: the group's score to reach, if there is one."""
    if fixed is not None:
        ax.axhline(fixed, dashes=FIXED, zorder=1, **GREY)
    for number, line in points.groupby("condition"):
        colour, marker = look_of[number]
        ax.fill_between(line["step"], line["low"], line["high"], color=colour, alpha=0.15, linewidth=0)
        ax.plot(line["step"], line["mean"], color=colour, marker=marker, markersize=4, linewidth=1.2)
    ax.set_ylabel("Validation tokens right (share)")


def _titles(runs: list[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Titles and fine print of models: teachers, and students with their heads."""
    titles, notes = titles_and_notes(
        runs, without=["teacher_heads", "teacher_pretraining", "cut", "student_shape"], longest=0
    )
    parts = [_model(run) for run in runs]
    return [f"{title} · {model}" for title, model in zip(titles, parts, strict=True)], notes


def _model(run: Mapping[str, Any]) -> str:
    if run["kind"] == "student":
        name = f"student {run['student']}".rstrip()
        return f"{name} {run['shape']}, {head_gap(run)}"
    block = f", block {run['block'].replace('->', '→')}" if pd.notna(run["block"]) else ""
    return f"teacher {run['shape']}, {run['heads']} heads{block}"
