"""Sheets of paper that panels stand on: how many a page holds, and where title, legend and fine print go."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from amad_bench.analysis.figures.drawing import FINE, SIZE

WIDTH, HEIGHT = 6.6, 8.4  # inches of the largest page: those of A4 inside its margins, above a caption
ALONE = 4.7  # inches of width of the only panel
FRAME = 1.5  # inches of height that title, legend and fine print may need
TITLE, LINE = 0.3, 0.112  # inches of the title; of a line of fine print
LETTERS = 148  # of fine print on the whole width
ENTRY, ENTRY_HEIGHT = 0.075, 0.165  # inches of a letter in the legend, and of its lines


@dataclass(frozen=True)
class Page:
    """A page: its figure, and the sentences of its fine print.

    frame: the title and the fine print inside the figure, which an SVG leaves to the text around it, and
    box, in inches, the part of the figure without them.
    """

    figure: Figure
    notes: list[str]
    frame: tuple[Text, ...] = ()
    box: Bbox | None = None


@dataclass(frozen=True)
class Drawing:
    """A figure of the sweep. title: one line. nothing: why there is nothing to draw, in one sentence."""

    title: str
    pages: list[Page] = field(default_factory=list[Page])
    nothing: str = ""


def pages(panels: int, height: float, columns: int = 2, together: int = 1) -> list[list[int]]:
    """The numbers of the panels that stand on each page, about as many on each.

    height: inches of a panel. together: panels that follow each other and must not be parted.
    """
    room = columns * max(1, int((HEIGHT - FRAME) // height)) // together
    units = -(-panels // together)
    even = max(1, -(-units // max(1, -(-units // max(1, room)))))  # no page with many before one with few
    starts = range(0, units, even)
    return [list(range(s * together, min(panels, (s + even) * together))) for s in starts]


def sheet(panels: int, height: float, columns: int = 2, alone: float = ALONE) -> tuple[Figure, list[Axes]]:
    """A figure with that many panels, each `height` inches high. alone: the width of an only panel."""
    columns = max(1, min(columns, panels))
    lines = max(1, -(-panels // columns))
    figure = Figure(figsize=(alone if columns == 1 else WIDTH, height * lines), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False)
    for empty in axes.flat[panels:]:
        empty.remove()
    return figure, list(axes.flat[:panels])


def finish(figure: Figure, title: str, notes: Sequence[str], handles: Sequence[Line2D] = ()) -> Page:
    """The page: the figure with a title above, the legend and the fine print below, and its layout fixed."""
    width, body = figure.get_size_inches()
    printed = "\n".join(fill(note, width=int(LETTERS * width / WIDTH)) for note in notes)
    fine = LINE * (printed.count("\n") + 1) + 0.06 if printed else 0.0
    columns = _columns(handles, width)
    below = fine + (0.12 + ENTRY_HEIGHT * -(-len(handles) // columns) if handles else 0.0)
    height = TITLE + body + below
    figure.set_size_inches(width, height)
    if handles:
        place: dict[str, Any] = {"bbox_to_anchor": (0.5, fine / height), "loc": "lower center"}
        legend = figure.legend(handles=handles, ncols=columns, handlelength=2.2, columnspacing=1.2, **place)
        legend.set_in_layout(False)
    frame = (
        figure.text(0.012, 1 - 0.08 / height, title, fontsize=SIZE + 1.5, weight="bold", ha="left", va="top"),
        figure.text(0.012, fine / height, printed, fontsize=FINE, ha="left", va="top", linespacing=1.25),
    )
    for artist in frame:
        artist.set_in_layout(False)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(rect=(0, below / height, 1, body / height))  # pyright: ignore[reportCallIssue]
        engine.execute(figure)
        figure.set_layout_engine("none")  # else each of the files would find it anew
        _settle(figure)
    return Page(figure, list(notes), frame, Bbox([[0, fine], [width, below + body]]))


def _columns(handles: Sequence[Line2D], width: float) -> int:
    """Of the legend, whose longest entry has to fit."""
    widest = max((len(str(handle.get_label())) for handle in handles), default=1)
    return max(1, min(len(handles), int(width / (ENTRY * widest + 0.45))))


def _settle(figure: Figure) -> None:
    """Fix where titles and labels stand, which each of the files would find anew.

    Titles of a column begin where the longest name on its left does, and a label wider than its axis stands
    below names, too: above and below the axes alone there is not always room.
    """
    panels = [ax for ax in figure.axes if ax.yaxis.get_label_position() == "left"]  # a scale of colours is none
    lefts: dict[float, float] = {}
    for ax in panels:
        names = ax.yaxis.get_tightbbox()
        left = ax.bbox.x0 if names is None else min(names.x0, ax.bbox.x0)
        lefts[round(ax.bbox.x0)] = min(left, lefts.get(round(ax.bbox.x0), left))
    for ax in panels:
        to_axes = ax.transAxes.inverted()
        left = to_axes.transform((lefts[round(ax.bbox.x0)], 0))[0]
        ax.set_title(ax.get_title(loc="left"), loc="left", x=left, y=1.0)
        for axis in (ax.xaxis, ax.yaxis):
            label = axis.label
            x, y = to_axes.transform(label.get_transform().transform(label.get_position()))
            wide = axis is ax.xaxis and label.get_window_extent().width > ax.bbox.width
            axis.set_label_coords((1 + left) / 2 if wide else x, y)
