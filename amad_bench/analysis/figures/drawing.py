"""Look of all figures: colours, markers, sizes, and the pieces that panels are drawn with.

Colours have a contrast of at least 3 with white and with near-black, so that one file reads on both. `INK` is
that of text and axes; an SVG says `currentColor` in its place.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

INK = "#0a0b0c"  # no other colour of any figure: it is looked for in the SVG
SIZE = 7.5  # points of text; of fine print:
FINE = 6.0
MARK = 4.5  # points of a mark
GREY: dict[str, Any] = {"color": INK, "alpha": 0.6, "linewidth": 1.0}  # of lines that only compare
# Told apart by colour-blind eyes (after Okabe and Ito 2008, darkened where white would swallow them).
PALETTE = ("#0173b2", "#c98200", "#029e73", "#b8460b", "#c06fb0", "#8c6239", "#3f97c9", "#808080")
MARKERS = "osD^vPXp<>*h"
BETTER, WORSE = PALETTE[0], PALETTE[3]
STYLE: dict[Any, Any] = {
    **sns.axes_style("whitegrid"),
    **sns.plotting_context("paper"),
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same letters on every machine
    "font.size": SIZE,
    "axes.titlesize": SIZE,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelsize": SIZE,
    "xtick.labelsize": SIZE - 0.5,
    "ytick.labelsize": SIZE - 0.5,
    "legend.fontsize": SIZE - 0.5,
    "legend.frameon": False,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "grid.color": INK,
    "grid.alpha": 0.13,
    "grid.linewidth": 0.6,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "axes.axisbelow": True,
    "pdf.fonttype": 42,  # text stays text
    "svg.fonttype": "none",
    "svg.hashsalt": "amad_bench",
    "savefig.dpi": 150,
}
Look = tuple[str, str]  # colour, marker
Frame = Any  # a table or a row of one: pandas' types know too little of columns to help


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A colour and a marker for each name; no two names share both."""
    return {
        name: (PALETTE[number % len(PALETTE)], MARKERS[(number + number // 24) % len(MARKERS)])
        for number, name in enumerate(names)
    }


def marked(label: str, look: Look, *, line: bool = True, hollow: bool = False) -> Line2D:
    """The legend's entry for marks, and for the line between them."""
    colour, marker = look
    mark = Line2D([], [], color=colour, marker=marker, markersize=MARK, linewidth=1.2, label=label)
    mark.set_linestyle("-" if line else "none")
    if hollow:
        mark.set_markerfacecolor("none")
    return mark


def dashed(label: str, dashes: tuple[float, float]) -> Line2D:
    """The legend's entry for a grey dashed line."""
    return Line2D([], [], dashes=dashes, label=label, **GREY)


def points(
    ax: Axes,
    look: Look,
    x: ArrayLike,
    y: ArrayLike,
    *,
    line: bool = False,
    hollow: bool = False,
    size: float = MARK,
) -> None:
    """Marks at N places, joined by a thin line where asked for; size in points."""
    colour, marker = look
    style: dict[str, Any] = {"color": colour, "marker": marker, "markersize": size, "markeredgewidth": 0.9}
    style |= {"linestyle": "-" if line else "none", "linewidth": 0.8, "zorder": 3}
    ax.plot(np.asarray(x, dtype=float), np.asarray(y, dtype=float), **style)
    if hollow:
        ax.lines[-1].set_markerfacecolor("none")


def intervals(
    ax: Axes, colours: str | Sequence[str], at: ArrayLike, low: ArrayLike, high: ArrayLike, *, upright: bool
) -> None:
    """A line from `low` to `high` at each of N places; none where one of them is NaN. colours: one, or N."""
    at_N, low_N, high_N = (np.asarray(values, dtype=float) for values in (at, low, high))
    known_N = np.isfinite(low_N) & np.isfinite(high_N)
    if known_N.any():
        draw = ax.vlines if upright else ax.hlines
        shown = (
            colours if isinstance(colours, str) else [str(colour) for colour in np.array(colours)[known_N]]
        )
        draw(at_N[known_N], low_N[known_N], high_N[known_N], colors=shown, linewidth=1.1, zorder=2)


def spread(count: int, width: float = 0.7) -> np.ndarray:
    """Offsets that put `count` marks beside each other within a place of width 1."""
    return (np.arange(count) - (count - 1) / 2) * width / max(count, 1)


def by_name(known: Mapping[str, Look], names: Sequence[str]) -> list[str]:
    """Those of the names that occur, in the order of `known`."""
    return [name for name in known if name in set(names)]
