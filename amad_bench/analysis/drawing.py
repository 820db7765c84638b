"""How all figures look, and how they are written."""

from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import Any

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from amad_bench.runtime.files import write_bytes_atomic

STYLE: dict[Any, Any] = {
    **sns.axes_style("whitegrid"),
    **sns.plotting_context("paper"),
    "pdf.fonttype": 42,  # text stays text
    "savefig.dpi": 200,
    "axes.titlesize": 8.5,
    "axes.labelsize": 8.5,
    "legend.frameon": False,
}
GREY = "0.35"
WIDTH = 3.6  # inches of a panel: two of them fill a page's width, three are needed only for large sweeps
MARKERS = "osD^vPXp<>*h"
Look = tuple[tuple[float, float, float], str]  # colour, marker


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A colour and a marker for each name, told apart by colour-blind eyes and in print."""
    colours = sns.color_palette("colorblind", n_colors=10)
    return {
        name: (colours[number % len(colours)], MARKERS[number % len(MARKERS)])
        for number, name in enumerate(names)
    }


def grid(panels: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with that many panels, each `height` inches high."""
    columns = max(1, min(2 if panels <= 8 else 3, panels))
    lines = max(1, -(-panels // columns))
    figure = Figure(figsize=(WIDTH * columns, height * lines + 0.5), layout="constrained")
    axes = figure.subplots(lines, columns, squeeze=False)
    for empty in axes.flat[panels:]:
        empty.remove()
    return figure, list(axes.flat[:panels])


def finish(figure: Figure, handles: list[Line2D]) -> Figure:
    """The figure with its legend below."""
    sns.despine(fig=figure)
    columns = max(1, int(figure.get_figwidth() // 2.3))  # inches that the longest entry needs
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)
    return figure


def dashed(label: str, dashes: tuple[int, int]) -> Line2D:
    """The legend's entry for a grey dashed line."""
    return Line2D([], [], color=GREY, linewidth=1, dashes=dashes, label=label)


def wrapped(lines: Iterable[str]) -> str:
    """Lines of a panel's title, each broken where it is wider than a panel."""
    return "\n".join(fill(line, width=46) for line in lines)


def write_figure(figure: Figure, path_without_suffix: Path) -> list[Path]:
    """The figure as PDF and PNG, without a date: equal figures give equal bytes."""
    paths = []
    for suffix, metadata in (("pdf", {"CreationDate": None}), ("png", {"Software": None})):
        content = BytesIO()
        figure.savefig(content, format=suffix, metadata=metadata)
        paths.append(path_without_suffix.with_name(f"{path_without_suffix.name}.{suffix}"))
        write_bytes_atomic(paths[-1], content.getvalue())
    return paths
