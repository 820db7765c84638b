"""Kinds of mappings, names and paths that a config may hold."""

import sys
from collections.abc import Collection, Iterable
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from amad_bench.plan.shown import repeated, unknown

LONGEST_NAME = 255  # characters; what file systems take

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$")]


class Closed(BaseModel):
    """A mapping with its own keys only."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Open(BaseModel):
    """A mapping that holds, beside its own keys, options whose names and types the catalogue knows."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)

    @property
    def given(self) -> dict[str, Any]:
        """The options that are not left out."""
        return dict(self.__pydantic_extra__ or {})


class Problems(ValueError):
    """Mistakes in a value; each line follows the value's path: ": text", "[1]: text" or ".key: text"."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = list(lines)
        super().__init__("; ".join(self.lines))


def known(what: str, names: Collection[str]) -> AfterValidator:
    """The check that a text is one of the names; what: that they are names of."""

    def check(name: str) -> str:
        if name not in names:
            raise Problems([f": {unknown(what, name, names)}"])
        return name

    return AfterValidator(check)


def distinct(values: list[Any]) -> list[Any]:
    """The list; Problems where a value stands twice."""
    if lines := list(repeated(values)):
        raise Problems(lines)
    return values


def _below(value: Any) -> Any:
    if isinstance(value, str):
        parts = value.split("/")
        if parts[0] in ("", "~") or not {".", ".."}.isdisjoint(parts) or max(map(len, parts)) > LONGEST_NAME:
            raise ValueError("a path below AMAD_DATA")
        if not value.isascii() and (encoding := sys.getfilesystemencoding()) != "utf-8":
            raise ValueError(
                f"ASCII letters, as Python reads file names as {encoding} here: set PYTHONUTF8=1"
            )
    return value


PathBelow = Annotated[str, BeforeValidator(_below)]
