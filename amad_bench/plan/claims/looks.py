"""Times when the claims of a file may be judged, and how strictly: once, or at planned numbers of seeds."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator

from amad_bench.plan.config.base import Problems
from amad_bench.plan.shown import shown

ONCE = "once"
ONE_LOOK = 0.05  # two-sided level of a single look
# Two-sided levels by number of seeds. Together wrong in at most .05, their sum; looks at .05 each: .12.
PLANNED = {3: 0.005, 5: 0.010, 10: 0.035}

_KNOWN = ", ".join(f"{seeds} (level {level:g})" for seeds, level in PLANNED.items())


def _checked(looks: Any) -> Any:
    """The looks; Problems where one is none that can be planned."""
    if looks == ONCE:
        return looks
    if not isinstance(looks, list):
        raise Problems([f": expected `{ONCE}` or a list of the seeds {_KNOWN}; found {shown(looks)}"])
    looks = cast("list[Any]", looks)
    lines = [
        f"[{index}]: {shown(seeds)} is no look that can be planned; choose from the seeds {_KNOWN}"
        for index, seeds in enumerate(looks)
        if type(seeds) is not int or seeds not in PLANNED
    ]
    if not lines and (looks != sorted(set(looks)) or len(looks) < 2):
        lines = [f": expected `{ONCE}`, or two or more of the seeds {_KNOWN}, rising; found {shown(looks)}"]
    if lines:
        raise Problems(lines)
    return looks


Looks = Annotated[Literal["once"] | list[int], BeforeValidator(_checked)]


def level_of(looks: Looks, seeds: int) -> float | None:
    """The two-sided level of the look at so many seeds; None where none is planned."""
    if looks == ONCE:
        return ONE_LOOK
    return PLANNED[seeds] if seeds in looks else None


def describe(looks: Looks) -> str:
    """Phrase such as "looks at 3, 5 and 10 seeds, levels 0.005, 0.01 and 0.035"."""
    if looks == ONCE:
        return f"one look, level {ONE_LOOK:g}"
    levels = [f"{PLANNED[int(seeds)]:g}" for seeds in looks]
    return f"looks at {joined(list(map(str, looks)))} seeds, levels {joined(levels)}"


def joined(values: Sequence[str]) -> str:
    """Phrase "a, b and c"."""
    *first, last = values
    return f"{', '.join(first)} and {last}" if first else last
