"""Files of a figure: PDF, PNG, SVG, and what `figures.json` says of them.

Without dates, names of a machine or random ids: equal figures give equal bytes.
"""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from amad_bench.analysis.figures.drawing import INK, SIZE
from amad_bench.analysis.figures.sheet import WIDTH, Drawing, Page
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_json, write_bytes_atomic, write_json_atomic

_FONT = "'DejaVu Sans', Verdana, sans-serif"  # as wide as each other


@dataclass(frozen=True)
class Shown:
    """Facts about a figure's files, known without opening them.

    notes: the fine print of each page, sentence by sentence. nothing: why there is nothing to see, or "".
    sizes: width and height of each page in inches. svgs: names of the files, one for each page; they have
    neither title nor fine print, which the text around them says.
    """

    title: str
    notes: list[list[str]]
    nothing: str
    sizes: list[list[float]]
    svgs: list[str]

    @property
    def pages(self) -> int:
        return len(self.sizes)


def write_drawing(drawing: Drawing, path_without_suffix: Path) -> tuple[Shown, list[Path]]:
    """Write <path>.pdf with all pages, <path>.png with the first, <path>.svg, <path>-2.svg ... with one each.

    Where there is nothing to draw, the sentence that says so stands in the files.
    """
    drawn = drawing.pages or [Page(_sentence(drawing.nothing), [])]
    for number, page in enumerate(drawn, start=1):
        if len(drawn) > 1:
            page.frame[0].set_text(f"{drawing.title} (page {number} of {len(drawn)})")
    paths = write_figures([page.figure for page in drawn], path_without_suffix)
    stem = path_without_suffix.name
    svgs = [f"{stem}.svg", *(f"{stem}-{number}.svg" for number in range(2, len(drawn) + 1))]
    for old in path_without_suffix.parent.glob(f"{stem}-*.svg"):
        if re.fullmatch(rf"{re.escape(stem)}-\d+\.svg", old.name) and old.name not in svgs:
            old.unlink()
    for name, page in zip(svgs, drawn, strict=True):
        paths.append(path_without_suffix.with_name(name))
        write_bytes_atomic(paths[-1], svg_of(page).encode())
    sizes = [[round(float(inches), 3) for inches in page.figure.get_size_inches()] for page in drawn]
    return Shown(drawing.title, [page.notes for page in drawn], drawing.nothing, sizes, svgs), paths


def write_figures(figures: Sequence[Figure], path_without_suffix: Path) -> list[Path]:
    """A page of the PDF for each of the figures, the first also as PNG; both paths."""
    pdf, png = (path_without_suffix.with_name(f"{path_without_suffix.name}.{end}") for end in ("pdf", "png"))
    content = BytesIO()
    with PdfPages(content, metadata={"CreationDate": None}) as document:
        for figure in figures:
            document.savefig(figure)
    write_bytes_atomic(pdf, content.getvalue())
    content = BytesIO()
    figures[0].savefig(content, format="png", metadata={"Software": None})
    write_bytes_atomic(png, content.getvalue())
    return [pdf, png]


def svg_of(page: Page) -> str:
    """A page as an <svg> element: text is text, the background is transparent, ink is `currentColor`."""
    content = BytesIO()
    for artist in page.frame:
        artist.set_visible(False)
    facts = {"Date": None, "Creator": None}
    page.figure.savefig(content, format="svg", transparent=True, metadata=facts, bbox_inches=page.box)
    for artist in page.frame:
        artist.set_visible(True)
    text = content.getvalue().decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)  # else the same ids in every figure of one page
    return text.replace(INK, "currentColor").replace("'DejaVu Sans'", _FONT)


def write_shown(shown: dict[str, Shown], path: Path) -> None:
    """Write figures.json."""
    write_json_atomic(path, {name: asdict(one) for name, one in shown.items()})


def read_shown(path: Path) -> dict[str, Shown]:
    """Content of figures.json, by the figures' names; UserError where it is missing or not its writer's."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; run `amad-bench figures` first")
    try:
        return {name: Shown(**one) for name, one in read_json(path).items()}
    except (AttributeError, TypeError):
        raise UserError(f"{path}: not what `amad-bench figures` writes; run that again") from None


def _sentence(text: str) -> Figure:
    figure = Figure(figsize=(WIDTH, 0.6))
    figure.text(0.5, 0.5, text, ha="center", va="center", fontsize=SIZE)
    return figure
