"""Rows of tables, by hand, for figures to draw."""

from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb

from amad_bench.analysis.figures.drawing import STYLE
from amad_bench.analysis.figures.sheet import Drawing

SETTING: dict[str, Any] = {
    "family": "vlt5",
    "task": "vqa",
    "dataset": "scenes",
    "limit": "no data limit",
    "examples": "6000",
    "inputs": "regions: crop 8",
    "precision": "fp32",
    "teacher_heads": 8,
    "student_heads": 2,
    "student": "",
    "student_shape": "2x48",
    "heads_keep": "inner_width",
    "teacher_pretraining": "none",
    "pretraining": "none",
    "cut": "random",
    "budget": "steps",
}
SCORE: dict[str, Any] = {
    "features": "patches",
    "image_overlap": "none",
    "loss": "ce",
    "metric": "vqa_accuracy",
    "split": "test",
    "subset": "all",
    "primary": True,
    "n_seeds": 3,
    "n_failed": 0,
    "n_examples": 240,
    "mean": 50.0,
    "ci_low": 45.0,
    "ci_high": 55.0,
    "warning": "",
}
LOSSES = ("teacher", "ce", "logit_kd", "amad_kl")
NAN = float("nan")


def results(*changes: dict[str, Any]) -> pd.DataFrame:
    """The table `results` with a row for each of the changes."""
    return pd.DataFrame([SETTING | SCORE | change for change in changes])


def of_setting(base: float = 50.0, **changes: Any) -> list[dict[str, Any]]:
    """A row per loss, five points apart, with intervals of three points on each side."""
    rows = []
    for number, loss in enumerate(LOSSES):
        mean = base + (20 if loss == "teacher" else 5 * number)
        rows.append({"loss": loss, "mean": mean, "ci_low": mean - 3, "ci_high": mean + 3} | changes)
    return rows


def drawn(draw: Any, *tables: pd.DataFrame) -> Drawing:
    """What a maker draws, in the figures' style."""
    with matplotlib.rc_context(STYLE):
        return draw(*tables)


def panels(drawing: Drawing) -> list[Axes]:
    """The panels of all pages."""
    return [ax for page in drawing.pages for ax in page.figure.axes]


def marks(ax: Axes) -> list[tuple[float, float]]:
    """(x, y) of all points with a marker."""
    found = []
    for line in ax.lines:
        if line.get_marker() not in ("None", None, ""):
            found += list(zip(line.get_xdata(), line.get_ydata(), strict=True))
    return [(float(x), float(y)) for x, y in found]


def spans(ax: Axes) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Both ends of all intervals, as ((x, y), (x, y))."""
    found = []
    for collection in ax.collections:
        if hasattr(collection, "get_segments"):
            for start, end in collection.get_segments():
                found.append((tuple(map(float, start)), tuple(map(float, end))))
    return found


def colours(ax: Axes) -> set[tuple[float, float, float]]:
    return {to_rgb(line.get_color()) for line in ax.lines}


def names(ax: Axes) -> list[str]:
    return [tick.get_text() for tick in ax.get_yticklabels()]
