"""Figures of the report: the drawings of `amad-bench figures`, with their titles and fine print as text."""

from dataclasses import dataclass

from markupsafe import Markup

from amad_bench.analysis.figures.files import read_shown
from amad_bench.analysis.report.vector import inline_svg
from amad_bench.runtime.results import ResultsFolder


@dataclass(frozen=True)
class DrawnPage:
    """A page of a figure: an <svg> element, and its fine print."""

    svg: Markup
    notes: list[str]


@dataclass(frozen=True)
class ShownFigure:
    """A figure. nothing: why there is nothing to see, or ""."""

    name: str
    title: str
    nothing: str
    pages: list[DrawnPage]


def shown_figures(results: ResultsFolder) -> dict[str, ShownFigure]:
    """All figures by name, in the order of their drawing; UserError where one is missing or broken."""
    found = {}
    for name, shown in read_shown(results.shown_figures).items():
        files = [] if shown.nothing else [results.figures / svg for svg in shown.svgs]
        pages = [
            DrawnPage(Markup(inline_svg(path, f"{name}-{number}-", shown.title)), notes)
            for number, (path, notes) in enumerate(zip(files, shown.notes, strict=bool(files)))
        ]
        found[name] = ShownFigure(name, shown.title, shown.nothing, pages)
    return found
