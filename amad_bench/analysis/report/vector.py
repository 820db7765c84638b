"""Figures inside of a page: an SVG by matplotlib becomes a part of the page's text, and of its colours."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

from amad_bench.runtime.errors import UserError

_SVG = "http://www.w3.org/2000/svg"
_LINK = "{http://www.w3.org/1999/xlink}href"
_DRAWN = {"svg", "defs", "g", "path", "use", "clipPath", "rect", "text", "tspan", "image"}
_DRAWN |= {
    "line",
    "circle",
    "polygon",
    "polyline",
    "linearGradient",
    "radialGradient",
    "stop",
    "title",
    "desc",
}
_COLOUR = re.compile(r"#([0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b")
_OWN = re.compile(r"url\(#([^)]*)\)")
_ENLARGED = 2.0  # pixels of a point: a little more than the 4/3 of paper, since a page is wider than that
_DARK, _LIGHT = 0x78, 0xF6  # greys up to the first are ink, from the second on paper


def inline_svg(path: Path, prefix: str, label: str) -> str:
    """The `svg` element of a file, fit to stand in a page among others.

    Its ids get the prefix. What is no drawing (scripts, styles of a whole page, metadata, links elsewhere) is
    left out. Greys near black and white become the page's ink and paper: it is read on a dark screen, too. It
    is as wide as its place, at most _ENLARGED pixels a point. label: what a screen reader says.

    UserError for a file that is no SVG.
    """
    try:
        root = ET.parse(path).getroot()
    except (OSError, ET.ParseError) as error:
        raise UserError(f"{path}: no SVG ({error}); run `amad-bench figures` again") from None
    if root.tag != f"{{{_SVG}}}svg" or "viewBox" not in root.attrib:
        raise UserError(f"{path}: no SVG with a viewBox; run `amad-bench figures` again")
    _keep_drawn(root)
    for element in root.iter():
        _adapt(element, prefix)
    width = _ENLARGED * float(root.attrib["viewBox"].split()[2])
    attributes = {"role": "img", "aria-label": label, "style": f"max-width: {width:.0f}px"}
    root.attrib = {"viewBox": root.attrib["viewBox"], **attributes}
    return ET.tostring(root, encoding="unicode")


def _keep_drawn(parent: ET.Element) -> None:
    for child in list(parent):
        if isinstance(child.tag, str) and child.tag.removeprefix(f"{{{_SVG}}}") in _DRAWN:
            _keep_drawn(child)
        else:
            parent.remove(child)


def _adapt(element: ET.Element, prefix: str) -> None:
    """Names without a namespace, as HTML has them; ids and colours of this page."""
    element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
    adapted = {}
    for name, value in element.attrib.items():
        if name in ("href", _LINK):
            if value.startswith("#"):
                adapted["href"] = f"#{prefix}{value[1:]}"
            elif value.startswith("data:image/png;") and element.tag == "image":
                adapted["href"] = value
        elif name == "id":
            adapted["id"] = prefix + value
        elif not name.startswith(("on", "{")):
            adapted[name] = _COLOUR.sub(_themed, _OWN.sub(rf"url(#{prefix}\1)", value))
    element.attrib = adapted


def _themed(found: re.Match[str]) -> str:
    digits = found[1] if len(found[1]) == 6 else "".join(2 * digit for digit in found[1])
    red, green, blue = (int(digits[start : start + 2], 16) for start in (0, 2, 4))
    if max(red, green, blue) - min(red, green, blue) > 12:
        return found[0]
    if max(red, green, blue) <= _DARK:
        return "var(--ink)"
    return "var(--paper)" if min(red, green, blue) >= _LIGHT else found[0]
