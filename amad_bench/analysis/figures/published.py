"""Published scores beside those of the models trained here, on the same test sets."""

from collections.abc import Sequence

import pandas as pd

from amad_bench.analysis.figures.drawing import PALETTE, Frame, intervals, marked, points
from amad_bench.analysis.figures.sheet import Drawing, Page, finish, pages, sheet
from amad_bench.analysis.figures.titles import in_points, letter
from amad_bench.analysis.settings import grouped
from amad_bench.plan import catalogue

TITLE = "Published scores and those of the teachers trained here"
NOTHING = "No published score is known for a test set of this sweep."
THEIRS, OURS = (PALETTE[7], "D"), (PALETTE[0], "o")
PANEL = ["dataset", "metric", "subset"]
ROW, REST = 0.16, 0.75  # inches of a model, and of what else a panel has


def draw_published(published: Frame) -> Drawing:
    """A row per published model and per teacher trained here; a panel per data set, metric and part of it.

    published: the table. Panels without a teacher trained here are drawn, too: a score to reach.
    """
    panels = [rows for _, rows in grouped(published, PANEL)]
    if not panels:
        return Drawing(TITLE, nothing=NOTHING)
    height = REST + ROW * max(len(_lines(rows)) for rows in panels)
    found = [_page([panels[n] for n in page], height) for page in pages(len(panels), height)]
    return Drawing(TITLE, found)


def _lines(rows: Frame) -> list[tuple[str, float, float, float, bool]]:
    """(name, value, low, high, whether it is ours) of each line of a panel, best published first."""
    theirs = rows.drop_duplicates(["work", "model", "value"]).sort_values("value", ascending=False)
    names = [_name(row) for _, row in theirs.iterrows()]
    names = [
        f"{name}, {trained}" if names.count(name) > 1 else name
        for name, trained in zip(names, theirs["pretraining"], strict=True)
    ]
    lines = [(name, value, value, value, False) for name, value in zip(names, theirs["value"], strict=True)]
    ours = rows[rows["mean"].notna()].drop_duplicates(
        ["family", "teacher_heads", "teacher_pretraining", "mean"]
    )
    for _, row in ours.iterrows():
        name = f"here: {catalogue.FAMILIES[row['family']].label}, {int(row['teacher_heads'])} heads"
        name = f"{name}, {row['teacher_pretraining']}"
        lines.append((name, row["mean"], row["ci_low"], row["ci_high"], True))
    return lines


def _name(row: Frame) -> str:
    """The model, and the work where that is of another name: "VL-BART, VL-T5 (Cho 2021)"."""
    same = row["model"].split()[0] == row["work"].split()[0]
    return row["model"] if same else f"{row['model']}, {row['work']}"


def _page(panels: Sequence[Frame], height: float) -> Page:
    figure, axes = sheet(len(panels), height, alone=5.4)
    for number, (rows, ax) in enumerate(zip(panels, axes, strict=True)):
        lines = _lines(rows)
        for place, (_, value, low, high, ours) in enumerate(lines):
            look = OURS if ours else THEIRS
            intervals(ax, look[0], [place], [low], [high], upright=False)
            points(ax, look, [value], [place])
        ax.set_yticks(range(len(lines)), [name for name, *_ in lines])
        ax.set_ylim(len(lines) - 0.4, -0.6)
        ax.margins(x=0.08)
        ax.grid(axis="y", visible=False)
        first = rows.iloc[0]
        seeds = rows["n_seeds"].max()
        counted = (
            f"n = {int(seeds)} {'run' if seeds == 1 else 'runs'}" if pd.notna(seeds) else "n = 0 runs here"
        )
        ax.set_xlabel(f"{in_points(first['metric'])}\n{counted}")
        part = "" if first["subset"] == "all" else f" · {first['subset']}"
        title = f"{catalogue.label_of(first['dataset'])} · {catalogue.METRICS[first['metric']].label}{part}"
        ax.set_title(f"{letter(number)}  {title}" if len(panels) > 1 else title)
    note = (
        "Sources of the published scores stand in the table published; their models, data and decoding "
        "differ from those here. Interval: 95 %, over runs and test examples."
    )
    return finish(figure, TITLE, [note], [marked("published", THEIRS), marked("trained here", OURS)])
