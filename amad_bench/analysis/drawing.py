"""Look of all figures, and the writing of them."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from textwrap import fill
from typing import Any

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from amad_bench.plan import catalogue
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
ALONE = 4.8  # inches of the only panel: its title would not fit above narrow axes
COLUMNS, LINES = 3, 4  # of panels on a page, at most
PAGE_HEIGHT = 14.0  # inches: the paper shows that, and three panels side by side, at 0.6 of their size
MARKERS = "osD^vPXp<>*h"
Look = tuple[tuple[float, float, float], str]  # colour, marker


def looks(names: Sequence[str]) -> dict[str, Look]:
    """A colour and a marker for each name, told apart by colour-blind eyes and in print."""
    colours = sns.color_palette("colorblind", n_colors=10)
    return {
        name: (colours[number % len(colours)], MARKERS[number % len(MARKERS)])
        for number, name in enumerate(names)
    }


def pages(topics: Sequence[Hashable], height: float) -> list[list[int]]:
    """The numbers of the panels that stand on each page; one page, maybe empty, where all of them fit.

    topics: of each panel; where there are several pages, none holds panels of two topics. height: inches of a
    panel.
    """
    room = COLUMNS * max(1, min(LINES, int(PAGE_HEIGHT // height)))
    if len(topics) <= room:
        return [list(range(len(topics)))]
    found = []
    for topic in dict.fromkeys(topics):
        own = [number for number, other in enumerate(topics) if other == topic]
        even = -(-len(own) // -(-len(own) // room))  # no page with many panels before one with few
        found += [own[start : start + even] for start in range(0, len(own), even)]
    return found


def grid(panels: int, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with that many panels, each `height` inches high."""
    fit_in_two = -(-panels // 2) <= min(LINES, PAGE_HEIGHT / height)
    columns = max(1, min(2 if fit_in_two else COLUMNS, panels))
    lines = max(1, -(-panels // columns))
    width = WIDTH * columns if columns > 1 else ALONE
    figure = Figure(figsize=(width, height * lines + 0.5), layout="constrained")
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


def marked(label: str, look: Look, size: float) -> Line2D:
    """The legend's entry for a line with marks, whose size is in points."""
    colour, marker = look
    return Line2D([], [], color=colour, marker=marker, markersize=size, linewidth=1.2, label=label)


def dashed(label: str, dashes: tuple[int, int]) -> Line2D:
    """The legend's entry for a grey dashed line."""
    return Line2D([], [], color=GREY, linewidth=1, dashes=dashes, label=label)


def labels(row: Mapping[str, Any]) -> list[str]:
    """Names of the family, the task and the data set."""
    records = (catalogue.FAMILIES[row["family"]], catalogue.TASKS[row["task"]])
    return [*(record.label for record in records), catalogue.label_of(row["dataset"])]


def named_student(row: Mapping[str, Any]) -> str:
    """ "student small" where a family has students of several sizes, "student" where it has one."""
    return f"student {row['student']}".rstrip()


def wrapped(lines: Iterable[str]) -> str:
    """Lines of a panel's title, each broken where it is wider than a panel."""
    return "\n".join(fill(line, width=46) for line in lines)


def write_figure(figures: Sequence[Figure], path_without_suffix: Path) -> list[Path]:
    """A page of the PDF for each of the figures, the first also as PNG, which says how many more there are.

    Without a date: equal figures give equal bytes.
    """
    pdf, png = (path_without_suffix.with_name(f"{path_without_suffix.name}.{end}") for end in ("pdf", "png"))
    content = BytesIO()
    with PdfPages(content, metadata={"CreationDate": None}) as document:
        for figure in figures:
            document.savefig(figure)
    write_bytes_atomic(pdf, content.getvalue())
    first, *others = figures
    if others:
        first.suptitle(f"Page 1 of {len(figures)}; all of them are in {pdf.name}", fontsize=8.5)
    content = BytesIO()
    first.savefig(content, format="png", metadata={"Software": None})
    write_bytes_atomic(png, content.getvalue())
    return [pdf, png]
