"""Sheets of paper that panels stand on: how many a page holds, and where title, legend and fine print go."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from amad_bench.analysis.figures.drawing import FINE, SIZE

WIDTH, HEIGHT = 6.6, 8.4  # inches of the largest page: those of A4 inside its margins, above a caption
ALONE = 4.7  # inches of width of the only panel
FRAME = 1.5  # inches of height that title, legend and fine print may need
SLACK = 1.03  # letters are as wide in files of other resolutions, but for rounding
GAP, ABOVE = 0.04, 0.24  # inches around a panel's parts, and of its title
TITLE, LINE = 0.3, 0.112  # inches of the title; of a line of fine print
NUMBER = 0.42  # inches of a number at the axis
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
    figure = Figure(figsize=(alone if columns == 1 else WIDTH, height * lines))
    axes = figure.subplots(lines, columns, squeeze=False)
    for empty in axes.flat[panels:]:
        empty.remove()
    for ax in axes.flat[:panels]:
        ax.locator_params(nbins=6)
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
    if engine is None:
        _place(figure, below, body)
    else:
        engine.set(rect=(0, below / height, 1, body / height))  # pyright: ignore[reportCallIssue]
        engine.execute(figure)
        figure.set_layout_engine("none")  # else each of the files would find it anew
    return Page(figure, list(notes), frame, Bbox([[0, fine], [width, below + body]]))


def _columns(handles: Sequence[Line2D], width: float) -> int:
    """Columns of the legend, whose longest entry has to fit."""
    widest = max((len(str(handle.get_label())) for handle in handles), default=1)
    return max(1, min(len(handles), int(width / (ENTRY * widest + 0.45))))


def _place(figure: Figure, below: float, body: float) -> None:
    """Give each panel the room that its names and labels leave, and fix where these stand.

    below, body: inches under the panels, and of their part of the figure. What constrained layout would do in
    several rounds takes one here: all panels of a sheet are alike.
    """
    width, height = figure.get_size_inches()
    specs: dict[Axes, Any] = {ax: ax.get_subplotspec() for ax in figure.axes}
    grid = specs[figure.axes[0]].get_gridspec()
    cell = width / grid.ncols, body / grid.nrows
    inch = 1 / figure.dpi
    measured = [(ax, *_outside(ax)) for ax in figure.axes]
    for column in range(grid.ncols):
        own = [one for one in measured if specs[one[0]].colspan.start == column]
        left = SLACK * max(one[1] for one in own) * inch + GAP
        for ax, _, under, over in own:
            row = specs[ax].rowspan.start
            under, over = under * inch + GAP, max(over * inch, GAP)
            bottom = below + body - (row + 1) * cell[1] + under
            size = cell[0] - left - over - GAP, cell[1] - under - ABOVE
            ax.set_position(
                ((column * cell[0] + left) / width, bottom / height, size[0] / width, size[1] / height)
            )
            if isinstance(ax.xaxis.get_major_locator(), MaxNLocator):
                ax.locator_params(axis="x", nbins=max(2, min(6, int(size[0] / NUMBER))))
            _fix(ax, (GAP - left) / size[0], (left - GAP) / size[0], (GAP - under) / size[1])


def _outside(ax: Axes) -> tuple[float, float, float]:
    """Pixels that names, labels and ticks take at the left of the axes, under them, and at the right."""
    across, down = ax.xaxis.get_tightbbox(), ax.yaxis.get_tightbbox()
    left = 0.0 if down is None else ax.bbox.x0 - down.x0
    ticks = [label.get_window_extent().x1 for label in ax.get_xticklabels()[-1:]]
    under = 0.0 if across is None else ax.bbox.y0 - across.y0
    return left, under, max([0.0, *(end - ax.bbox.x1 for end in ticks)])


def _fix(ax: Axes, start: float, left: float, bottom: float) -> None:
    """Fix title and labels, in parts of the axes: else each of the files would find their places anew.

    start: where the title begins, above the names on the left: above the axes alone there is not always room.
    """
    ax.set_title(ax.get_title(loc="left"), loc="left", x=start, y=1.0)
    wide = ax.xaxis.label.get_window_extent().width > ax.bbox.width
    ax.xaxis.label.set_verticalalignment("bottom")
    ax.xaxis.set_label_coords((1 - left) / 2 if wide else 0.5, bottom)
    ax.yaxis.label.set_verticalalignment("top")
    ax.yaxis.set_label_coords(-left, 0.5)
