"""Heat maps over head counts of teacher and student: what a loss adds to training without distillation."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from amad_bench.analysis.figures.drawing import BETTER, WORSE, Frame
from amad_bench.analysis.figures.head_gap import WITHOUT_HEADS
from amad_bench.analysis.figures.losses import NOTHING, primary_scores
from amad_bench.analysis.figures.sheet import Drawing, Page, finish, pages, sheet
from amad_bench.analysis.figures.titles import family_and_task, letter, n_of, titles_and_notes
from amad_bench.analysis.settings import CE, SETTING, TEACHER, grouped
from amad_bench.plan.catalogue import METRICS

TITLE = "What each loss adds to training without distillation, by head counts"
HEADS = ["teacher_heads", "student_heads"]
COLOURS = sns.blend_palette([WORSE, "#e9e9e9", BETTER], as_cmap=True)
COLUMNS = 3
SMALL = 6.3  # points of a title above a third of a page's width


def draw_head_counts(results: Frame, comparisons: Frame) -> Drawing:
    """A panel per loss and settings alike but for head counts; a cell is the loss's mean minus that of `ce`.

    A star marks what the table `comparisons` calls better or worse than `ce`.
    """
    drawn = differences(results, comparisons)
    if len(drawn.drop_duplicates(HEADS)) <= 1:
        what = "Only one pair of head counts has scores of ce and of another loss."
        return Drawing(TITLE, nothing=what if len(drawn) else _nothing(results))
    panels: list[Frame] = [rows for _, rows in grouped(drawn, [*WITHOUT_HEADS, "loss"])]
    height = 0.75 + 0.27 * max(3, *(rows["teacher_heads"].nunique() for rows in panels))
    strongest = drawn["difference"].abs().groupby(drawn["metric"]).max().to_dict()
    with matplotlib.rc_context({"axes.titlesize": SMALL}):
        numbers = pages(len(panels), height, COLUMNS)
        return Drawing(TITLE, [_page([panels[n] for n in page], strongest, height) for page in numbers])


def differences(results: Frame, comparisons: Frame) -> Frame:
    """The rows of losses whose setting has a score of `ce`, with the columns difference and star."""
    scored = primary_scores(results)
    plain = scored[scored["loss"] == CE][[*SETTING, "mean"]].rename(columns={"mean": "ce_mean"})
    found: Any = scored[~scored["loss"].isin([CE, TEACHER])].merge(plain, on=SETTING)
    shown: Any = comparisons[
        (comparisons["loss_b"] == CE) & comparisons["statement"].isin(["better", "worse"])
    ]
    tested = shown[[*SETTING, "loss_a"]].rename(columns={"loss_a": "loss"}).drop_duplicates()
    found = found.merge(tested.assign(star=True), on=[*SETTING, "loss"], how="left")
    return found.assign(difference=found["mean"] - found["ce_mean"], star=found["star"].eq(True))


def _nothing(results: Frame) -> str:
    return NOTHING if primary_scores(results).empty else "No setting has scores of ce and of another loss."


def _page(panels: Sequence[Frame], strongest: Mapping[str, float], height: float) -> Page:
    firsts = [rows.iloc[0] for rows in panels]
    _, notes = titles_and_notes(firsts, without=["teacher_heads"], longest=0)
    names = [f"{family_and_task(first)} · {first['loss']}" for first in firsts]
    figure, axes = sheet(len(panels), height, COLUMNS, alone=3.4)
    for number, (rows, ax) in enumerate(zip(panels, axes, strict=True)):
        _panel(ax, rows, strongest[firsts[number]["metric"]])
        ax.set_title(f"{letter(number)}  {names[number]}" if len(panels) > 1 else names[0])
    metrics = dict.fromkeys(first["metric"] for first in firsts)
    scales = ", ".join(f"±{strongest[name]:.1f} points of {METRICS[name].label}" for name in metrics)
    drawn = (
        f"In a cell the mean of the loss minus that of ce, in points; {n_of(pd.concat(panels))}. Blue is "
        f"better than ce, orange worse; the strongest colours stand for {scales}. A star: the table "
        "comparisons says better or worse (Holm); the others were not tested or are inconclusive."
    )
    return finish(figure, TITLE, [drawn, *notes])


def _panel(ax: Axes, rows: Frame, strongest: float) -> None:
    """Teacher heads down, student heads across; the number stands in each cell."""
    teachers, students = (sorted(set(rows[column])) for column in HEADS)
    better = 1 if METRICS[rows["metric"].iloc[0]].higher_is_better else -1
    value_TS = np.full((len(teachers), len(students)), np.nan)
    for row in rows.to_dict("records"):
        at = teachers.index(row["teacher_heads"]), students.index(row["student_heads"])
        value_TS[at] = better * row["difference"]
        shade = abs(row["difference"]) / strongest if strongest else 0.0
        text = f"{row['difference']:+.1f}{'*' if row['star'] else ''}".replace("-", "−")
        ax.text(at[1], at[0], text, ha="center", va="center", color="white" if shade > 0.6 else "black")
    ax.imshow(value_TS, cmap=COLOURS, vmin=-strongest, vmax=strongest, aspect="auto", interpolation="nearest")
    ax.set_xticks(range(len(students)), [str(heads) for heads in students])
    ax.set_yticks(range(len(teachers)), [str(heads) for heads in teachers])
    ax.grid(visible=False)
    ax.set_xlabel("Student heads")
    ax.set_ylabel("Teacher heads")
