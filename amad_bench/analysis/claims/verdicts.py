"""The verdict on a claim, from the one-sided p-values of its parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from amad_bench.analysis.comparisons import NAN
from amad_bench.analysis.holm import holm

Word = Literal["supported", "contradicted", "inconclusive", "not testable here"]


@dataclass(frozen=True)
class Verdict:
    """word: the verdict. p_value: the largest of the parts', NaN where one is not testable or none is there.
    p_holm_worse: by part, that it is the other way round, after Holm.
    """

    word: Word
    p_value: float
    p_holm_worse: tuple[float, ...]


def verdict(p_values: Sequence[float], p_worse: Sequence[float], level: float) -> Verdict:
    """Supported: every part has a one-sided p of at most level / 2, unadjusted (intersection-union test).

    Contradicted: some part is the other way round at level / 2, after Holm over the parts. Otherwise
    inconclusive; not testable here where a part is not testable (NaN). level: two-sided. Without parts:
    inconclusive.
    """
    adjusted = holm(p_worse) if p_worse else np.empty(0)
    largest = float(np.max(p_values)) if len(p_values) else NAN  # NaN where any is
    if (adjusted <= level / 2).any():
        word: Word = "contradicted"
    elif np.isnan(p_values).any():
        word = "not testable here"
    else:
        word = "supported" if largest <= level / 2 else "inconclusive"
    return Verdict(word, largest, tuple(adjusted.tolist()))
