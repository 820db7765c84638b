"""Account of what a plan can say about registered claims, as text for people."""

import math
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from amad_bench.plan.claims.cells import Runs, independent
from amad_bench.plan.claims.lacking import asked_by, lacking
from amad_bench.plan.claims.load import claim_hash
from amad_bench.plan.claims.looks import describe, joined, level_of
from amad_bench.plan.claims.planned import planned_runs
from amad_bench.plan.claims.schema import Claim, ClaimsFile
from amad_bench.plan.plan import Plan


def claims_report(path: Path, file: ClaimsFile, plan: Plan) -> str:
    """A line for each claim, whether this plan's runs can answer it or what they lack; then what so many
    blocks and seeds can show.
    """
    runs = planned_runs(plan)
    designs: dict[tuple[int, int, float], None] = {}
    lines = [f"claims of {path}, {describe(file.looks)}:"]
    for claim in file.claims:
        name = f"  {claim.id} ({claim_hash(claim, file)}): "
        missing = lacking(claim, runs)
        size = _size(claim, runs)
        level = level_of(file.looks, size[1])
        if not missing and level is None:
            seeds = joined([str(look) for look in file.looks])
            missing = [f"a planned look at {size[1]} seeds (there are {seeds})"]
        if missing:
            lines.append(f"{name}not testable here, missing: {'; '.join(missing)}{_elsewhere(claim)}")
            continue
        blocks, seeds = size
        lines.append(f"{name}answerable here: {plural(blocks, 'block')}, {plural(seeds, 'seed')}")
        designs[blocks, seeds, level or 0.0] = None
    lines += [f"  {sentence}" for sentence in _shown(list(designs))]
    if designs and _photos_shared(plan):
        lines.append(
            "  blocks share photos of real data: they count apart where images make less than a tenth of "
            "their variance, else as one"
        )
    return "\n".join(lines)


def _photos_shared(plan: Plan) -> bool:
    """Whether students of two blocks see the same photos of real data."""
    seen: dict[str, set[object]] = {}
    for config in (run.config for run in plan.runs if run.kind == "student"):
        dataset = config.dataset
        if not dataset.record.generated:
            for place in set(dataset.record.photos(dataset.options).values()) or {dataset.name}:
                block = (config.family, config.task, dataset.name, config.teacher and config.teacher.heads)
                seen.setdefault(place, set()).add((*block, config.model.heads))
    return any(len(blocks) > 1 for blocks in seen.values())


def _elsewhere(claim: Claim) -> str:
    return f"; {joined(claim.answered_by)} can answer it"


def _size(claim: Claim, runs: Sequence[Runs]) -> tuple[int, int]:
    """The fewest independent blocks of its contrasts; the most seeds that some block has in all arms."""
    units = [asked.units(runs) for asked in asked_by(claim)]
    seeds = max((len(unit.replicates) for found in units for unit in found), default=0)
    return min((len(independent(found)) for found in units), default=0), seeds


def _shown(designs: Sequence[tuple[int, int, float]]) -> Iterator[str]:
    """Account of what numbers of blocks and seeds can say, at each level."""
    for level in dict.fromkeys(level for _, _, level in designs):
        here = sorted({(blocks, seeds) for blocks, seeds, own in designs if own == level})
        alone = sorted({(1, seeds) for blocks, seeds in here if blocks > 1 and seeds > 1})
        shown = [
            f"{100 * power_of_one_sd(*design, level):.0f} % with {plural(design[0], 'block')} of "
            f"{plural(design[1], 'seed')}"
            for design in dict.fromkeys((*here, *alone))
        ]
        yield (
            f"at level {level:g}, a difference as large as the standard deviation of a seed's paired "
            f"difference is shown in {joined(shown)}; blocks stand for blocks of their kind"
        )


def plural(count: int, word: str) -> str:
    return f"{count} {word}{'s'[: count != 1]}"


def power_of_one_sd(blocks: int, seeds: int, level: float) -> float:
    """Power of the t test over blocks, or over the seeds of one, for a difference of one standard deviation
    of a seed's paired difference, where nothing else varies. level: two-sided.
    """
    stats: Any = import_module("scipy.stats")  # here: it takes longer to load than to plan
    df = (blocks if blocks > 1 else seeds) - 1
    critical = float(stats.t.isf(level / 2, df))
    return float(stats.nct.sf(critical, df, math.sqrt(blocks * seeds)))
