"""Values of a config file as a person reads and writes them."""

import re
from datetime import date
from typing import Any


def shown(value: Any) -> str:
    """The value as it stands in the file, cut when long."""
    words = {"None": "nothing", "True": "true", "False": "false"}
    text = value.isoformat() if isinstance(value, date) else words.get(repr(value), repr(value))
    return text if len(text) <= 60 else text[:57] + "..."


def bound(limit: float) -> str:
    """A limit as messages say it."""
    return f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"


def yaml_number(text: str) -> str | None:
    """How a number that YAML 1.1 takes for text is written (1e-3: 1.0e-3, 09: 9); None if it is none."""
    if re.fullmatch(r"0\d+", text):
        return text.lstrip("0") or "0"
    match = re.fullmatch(r"([+-]?\d+)(?:\.(\d*))?[eE]([+-]?)(\d+)", text.strip())
    if not match:
        return None
    whole, fraction, sign, exponent = match.groups()
    return f"{whole}.{fraction or '0'}e{sign or '+'}{exponent}"
