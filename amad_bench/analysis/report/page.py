"""The page itself: templates of the package, the table library of another, nothing that is fetched later."""

import base64
from typing import Any

from itables.utils import read_package_file
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

_TEMPLATES = Environment(
    loader=PackageLoader("amad_bench.analysis.report"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_LIBRARY = ("html", "dt_bundle")  # DataTables with jQuery, as itables ships them for pages without a network


def page(**facts: Any) -> str:
    """The HTML of the report. facts: what templates/report.html names; texts in it are escaped.

    Style and program stand in the page, the table library as a module in a data URI.
    """
    folder, name = _LIBRARY
    library = read_package_file(folder, f"{name}.js").encode()
    return _TEMPLATES.get_template("report.html").render(
        library=base64.b64encode(library).decode(),
        library_style=Markup(read_package_file(folder, f"{name}.css")),
        style=Markup(_source("report.css")),
        program=Markup(_source("report.js")),
        **facts,
    )


def _source(name: str) -> str:
    assert _TEMPLATES.loader is not None
    return _TEMPLATES.loader.get_source(_TEMPLATES, name)[0]
