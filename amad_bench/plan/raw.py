"""Looking into a config that may be wrong anywhere: what is missing or of another type is not there."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeGuard

from amad_bench.plan.catalogue import OptionSpec
from amad_bench.plan.messages import bound, shown, yaml_number
from amad_bench.runtime.errors import did_you_mean

TYPE_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false", list: "a list"}


def mapping_at(raw: Any, *keys: str) -> Mapping[Any, Any]:
    for key in keys:
        raw = raw.get(key) if isinstance(raw, Mapping) else None
    return raw if isinstance(raw, Mapping) else {}


def list_at(raw: Any, *keys: str) -> list[Any]:
    value = mapping_at(raw, *keys[:-1]).get(keys[-1])
    return value if isinstance(value, list) else []


def entries_at(raw: Any, *keys: str) -> Iterator[tuple[str, Any]]:
    return ((key, value) for key, value in mapping_at(raw, *keys).items() if isinstance(key, str))


def is_count(value: Any) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def cells_of(raw: Mapping[Any, Any]) -> list[tuple[str, Mapping[Any, Any]]]:
    return [
        (f"cells[{i}]", cell) for i, cell in enumerate(list_at(raw, "cells")) if isinstance(cell, Mapping)
    ]


def unknown_name(where: str, what: str, name: Any, known: Iterable[str]) -> str:
    return (
        f"{where}: unknown {what} {shown(name)}.{did_you_mean(name, known) or ' Known: ' + ', '.join(known)}"
    )


def repeated(where: str, values: list[Any]) -> Iterator[str]:
    for index, value in enumerate(values):
        if value in values[:index]:
            yield f"{where}[{index}]: {shown(value)} stands twice; keep one"


def check_option(where: str, value: Any, spec: OptionSpec) -> Iterator[str]:
    if spec.type is list and isinstance(value, list):
        yield from repeated(where, value)
        if not value:
            yield f"{where}: expected at least one of {', '.join(spec.choices)}, found an empty list"
        for index, item in enumerate(value):
            if item not in spec.choices:
                yield unknown_name(f"{where}[{index}]", "entry", item, spec.choices)
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
