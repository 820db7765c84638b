"""Columns of a table of the report: values that sort as what they are, and how the page shows them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

Kind = Literal["text", "long", "code", "word", "number", "interval", "p"]
_KEPT = 6  # significant digits of a number, more than anybody reads


@dataclass(frozen=True)
class Column:
    """A column. source: of the table; of an interval three: the value, its lower and its upper end.

    kind: text; long (sentences); code (a name of a config); word (a verdict or status, with a colour);
    number; interval; p. digits: after the point. plus: a positive number has its sign. of: makes the values
    out of the table instead of `source`. says: a sentence for who rests on the heading.
    """

    label: str
    source: str | tuple[str, str, str] = ""
    kind: Kind = "text"
    digits: int = 0
    plus: bool = False
    of: Callable[[pd.DataFrame], pd.Series] | None = None
    says: str = ""

    def values(self, frame: pd.DataFrame) -> list[Any]:
        """A value per row, fit for JSON: texts, numbers (None where unknown), or three of an interval."""
        if isinstance(self.source, tuple):
            return [list(row) for row in zip(*(_numbers(frame[name]) for name in self.source), strict=True)]
        column: Any = self.of(frame) if self.of else frame[self.source]
        if self.kind in ("number", "p"):
            return _numbers(column)
        return [text if isinstance(text, str) else "" for text in column]

    def heading(self) -> dict[str, Any]:
        """The JSON object by which the page shows it."""
        return {
            "label": self.label,
            "kind": self.kind,
            "digits": self.digits,
            "plus": self.plus,
            "says": self.says,
        }


def _numbers(column: Any) -> list[float | None]:
    values = column.astype("Float64").to_numpy(dtype=float, na_value=np.nan)
    return [float(f"{value:.{_KEPT}g}") if np.isfinite(value) else None for value in values]
