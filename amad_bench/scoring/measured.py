"""Input and output of a metric's function: predictions of several corpora, and what is measured of each."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.run_folder.predictions import Prediction

Made = TypeVar("Made")
Rows = Sequence[Prediction]  # of one corpus


@dataclass(frozen=True)
class Measured:
    """A metric of one corpus, in its own units.

    score: of the corpus. values: of its examples, in their order. statistics: of a corpus metric, a row per
    example, whose sum gives the score. signature: how it was computed, where its record does not say enough.
    unavailable: why there is none of these, or "".
    """

    score: float = math.nan
    values: list[float] = field(default_factory=list[float])
    statistics: list[list[float]] | None = None
    signature: str = ""
    unavailable: str = ""


class Corpora:
    """Corpora that are measured together, the splits of a run or of many. rows: of each."""

    def __init__(self, rows: Sequence[Rows]) -> None:
        self.rows = rows
        self._made: dict[Callable[..., Any], Any] = {}

    def once(self, make: Callable[["Corpora"], Made]) -> Made:
        """The value of `make` for these corpora, made only once: several metrics need it."""
        if make not in self._made:
            self._made[make] = make(self)
        return self._made[make]

    def all_unavailable(self, reason: str) -> list[Measured]:
        return [Measured(unavailable=reason) for _ in self.rows]


def mean_of_examples(corpora: Corpora, score: Callable[[str, list[str]], float]) -> list[Measured]:
    """A metric that is the mean of `score(prediction, references)` over a corpus."""
    found = []
    for rows in corpora.rows:
        values = [float(score(row.prediction, row.references)) for row in rows]
        found.append(Measured(sum(values) / len(values), values))
    return found


def only_references(rows: Rows, what: str) -> list[str]:
    """The one reference of each row; UserError that begins with `what` where there is another number."""
    for row in rows:
        if len(row.references) != 1:
            raise UserError(
                f"{what}: example {row.example_id!r} has {len(row.references)} references; expected one"
            )
    return [row.references[0] for row in rows]
