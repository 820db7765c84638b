"""Options of a record, and records by name."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from amad_bench.plan.config.shown import bound, shown, yaml_number
from amad_bench.runtime.errors import did_you_mean

TYPE_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false", list: "a list"}


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


def check_option(where: str, value: Any, spec: OptionSpec) -> Iterator[str]:
    if spec.type is list and isinstance(value, list):
        if not value:
            yield f"{where}: expected at least one of {', '.join(spec.choices)}, found an empty list"
        for index, item in enumerate(value):
            if item not in spec.choices:
                yield f"{where}[{index}]: unknown entry"
        return
    fits = isinstance(value, (int, float) if spec.type is float else spec.type)
    if not fits or (isinstance(value, bool) and spec.type is not bool):
        number = yaml_number(value) if isinstance(value, str) and spec.type is float else None
        advice = f"; write {number}, YAML reads {value} as text" if number else ""
        yield f"{where}: expected {TYPE_NAMES[spec.type]}, found {shown(value)}{advice}"
    elif spec.type is float and not math.isfinite(value):
        yield f"{where}: expected a finite number, found {shown(value)}"
    elif spec.choices and value not in spec.choices:
        hint = did_you_mean(value, spec.choices)
        yield f"{where}: expected {' or '.join(spec.choices)}, found {shown(value)}.{hint}"
    elif spec.above is not None and not value > spec.above:
        yield f"{where}: expected more than {spec.above:g}, found {shown(value)}"
    elif spec.minimum is not None and not value >= spec.minimum:
        yield f"{where}: expected at least {spec.minimum:g}, found {shown(value)}"
    elif spec.maximum is not None and not value <= spec.maximum:
        yield f"{where}: expected at most {bound(spec.maximum)}, found {shown(value)}"


def check_options(
    where: str, given: Mapping[Any, Any], specs: Mapping[str, OptionSpec], also: tuple[str, ...]
) -> Iterator[str]:
    for key, value in given.items():
        if key in specs:
            yield from check_option(f"{where}.{key}", value, specs[key])
        elif isinstance(key, str) and key not in also:  # other types are reported by the schema
            known = [*specs, *also]
            hint = did_you_mean(key, known) or f" Known: {', '.join(known)}"
            yield f"{where}.{key}: unknown key.{hint}"
