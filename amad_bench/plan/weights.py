"""Weights of runs that have ended, as long as the config keeps them (`keep_weights`)."""

from collections.abc import Collection, Mapping
from pathlib import Path

from amad_bench.plan.config.schema import Config
from amad_bench.plan.plan import Plan
from amad_bench.plan.standing import Standing, standing
from amad_bench.runtime.results import ResultsFolder


def drop_weights(config: Config, plan: Plan, results: ResultsFolder) -> list[Path]:
    """Remove the weights that the config does not keep; the files that were removed."""
    if config.keep_weights == "all":
        return []
    found = unkept_weights(plan, standing(plan, results), results, config.keep_weights)
    for path in found:
        path.unlink(missing_ok=True)  # another run that ends does the same
    return found


def unkept_weights(
    plan: Plan, standings: Mapping[str, Standing], results: ResultsFolder, keep: str
) -> list[Path]:
    """The files of weights that `keep_weights` does not keep, those of losses included.

    What a run that failed has left is kept: it may show why.
    """
    left = {name for name, own in standings.items() if own.left}
    needed = kept_weights(plan, left, keep)
    folders = [results.run(name) for name, own in standings.items() if own.usable and name not in needed]
    files = [path for folder in folders for path in (folder.checkpoint, folder.loss_parameters)]
    return [path for path in files if path.exists()]


def kept_weights(plan: Plan, left: Collection[str], keep: str) -> set[str]:
    """The ids of the runs whose weights `keep_weights` keeps. left: ids of the runs still to be trained."""
    if keep == "all":
        return set(plan.by_id)
    return {
        wanted for run in plan.runs if keep == "teachers" or run.id in left for wanted in run.prerequisites
    }
