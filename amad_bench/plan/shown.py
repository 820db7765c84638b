"""Values as messages and pages show them."""

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import date
from typing import Any

from amad_bench.runtime.errors import did_you_mean


def shown(value: Any) -> str:
    """The value as it stands in the file, cut when long."""
    words = {"None": "nothing", "True": "true", "False": "false"}
    text = value.isoformat() if isinstance(value, date) else words.get(repr(value), repr(value))
    return text if len(text) <= 60 else text[:57] + "..."


def bound(limit: float) -> str:
    """A limit as messages say it."""
    return f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"


def unknown(what: str, name: Any, names: Collection[str]) -> str:
    """The message on a name that is none of those known."""
    return f"unknown {what} {shown(name)}.{did_you_mean(name, names) or ' Known: ' + ', '.join(names)}"


def repeated(values: Sequence[Any]) -> Iterator[str]:
    """Messages on values that stand in a list already, each after its index: "[1]: ..."."""
    for index, value in enumerate(values):
        if value in values[:index]:
            yield f"[{index}]: {shown(value)} stands twice; keep one"


def yaml_number(text: str) -> str | None:
    """A number that YAML 1.1 takes for text, as it is to be written (1e-3: 1.0e-3, 09: 9); else None."""
    if re.fullmatch(r"0\d+", text):
        return text.lstrip("0") or "0"
    match = re.fullmatch(r"([+-]?\d+)(?:\.(\d*))?[eE]([+-]?)(\d+)", text.strip())
    if not match:
        return None
    whole, fraction, sign, exponent = match.groups()
    return f"{whole}.{fraction or '0'}e{sign or '+'}{exponent}"
