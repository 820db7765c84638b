"""Options of a record, and records by name."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class OptionSpec:
    """One option of a record. `minimum` and `maximum` are inclusive, `above` is exclusive."""

    type: type
    default: Any
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None


def by_name(*records: Any) -> dict[str, Any]:
    named = {record.name: record for record in records}
    if len(named) != len(records):
        raise ValueError(f"a name is used twice among {[record.name for record in records]}")
    return named
