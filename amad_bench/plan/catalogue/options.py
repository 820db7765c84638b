"""Options of a record, for the plan and for whoever builds the record's class alike; and records by name."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Protocol, TypeVar, cast

from amad_bench.plan.shown import bound, repeated, shown, unknown, yaml_number
from amad_bench.runtime.errors import did_you_mean

TYPE_NAMES = {int: "a whole number", float: "a number", str: "text", bool: "true or false", list: "a list"}


@dataclass(frozen=True)
class OptionSpec:
    """One option of a record. `minimum` and `maximum` are inclusive, `above` is exclusive.

    choices: of a list, those of its entries. description: stands in docs/config.md; with the unit, if any.
    """

    type: type
    default: Any
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    description: str = field(kw_only=True)

    def read(self, value: Any) -> Any:
        """The value as it is meant: YAML's true is the text where that is a choice."""
        text = str(value).lower() if isinstance(value, bool) else None
        return text if self.type is str and text in self.choices else value

    def problems(self, where: str, value: Any) -> Iterator[str]:
        """Mistakes in a value, in lines that begin with `where`."""
        value = self.read(value)
        if self.type is list and isinstance(value, list):
            yield from self._problems_of_list(where, cast(list[Any], value))
            return
        fits = isinstance(value, (int, float) if self.type is float else self.type)
        if not fits or (isinstance(value, bool) and self.type is not bool):
            number = yaml_number(value) if isinstance(value, str) and self.type is float else None
            advice = f"; write {number}, YAML reads {value} as text" if number else ""
            yield f"{where}: expected {TYPE_NAMES[self.type]}, found {shown(value)}{advice}"
        elif self.type is float and not math.isfinite(value):
            yield f"{where}: expected a finite number, found {shown(value)}"
        elif self.choices and value not in self.choices:
            hint = did_you_mean(value, self.choices)
            yield f"{where}: expected {' or '.join(self.choices)}, found {shown(value)}.{hint}"
        elif self.above is not None and not value > self.above:
            yield f"{where}: expected more than {self.above:g}, found {shown(value)}"
        elif self.minimum is not None and not value >= self.minimum:
            yield f"{where}: expected at least {self.minimum:g}, found {shown(value)}"
        elif self.maximum is not None and not value <= self.maximum:
            yield f"{where}: expected at most {bound(self.maximum)}, found {shown(value)}"

    def _problems_of_list(self, where: str, values: list[Any]) -> Iterator[str]:
        if not values:
            yield f"{where}: expected at least one of {', '.join(self.choices)}, found an empty list"
        yield from (f"{where}{line}" for line in repeated(values))
        for index, value in enumerate(values):
            if value not in self.choices:
                yield f"{where}[{index}]: {unknown('entry', value, self.choices)}"


def check_options(
    where: str,
    given: Mapping[Any, Any],
    specs: Mapping[str, OptionSpec],
    also: Sequence[str] = (),
    elsewhere: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[str]:
    """Mistakes in given options, in lines that begin with `where`.

    also: keys that are no options. elsewhere: those that other records have -> who has them.
    """
    foreign = [key for key in given if key in elsewhere and key not in specs]
    yield from (f"{where}.{key}: {elsewhere[key]}; remove it" for key in foreign)
    for key, value in given.items():
        if key in foreign:
            continue
        if key in specs:
            yield from specs[key].problems(f"{where}.{key}", value)
        elif isinstance(key, str) and key not in also:  # keys of other types are the schema's
            known = [*specs, *also]
            hint = did_you_mean(key, known) or f" Known: {', '.join(known) or 'none'}"
            yield f"{where}.{key}: unknown key.{hint}"


class WithOptions:
    """A record that has options."""

    options: Mapping[str, OptionSpec]

    def complete(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The given options with every default filled in, in the catalogue's order."""
        return {key: spec.read(given.get(key, spec.default)) for key, spec in self.options.items()}


class _Named(Protocol):
    @property
    def name(self) -> str: ...


Record = TypeVar("Record", bound=_Named)


def by_name(*records: Record) -> dict[str, Record]:
    """The records by name. Raises ValueError where two have the same."""
    named = {record.name: record for record in records}
    if len(named) != len(records):
        raise ValueError(f"a name is used twice among {[record.name for record in records]}")
    return named
