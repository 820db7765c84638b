"""Weights of runs that have ended, as long as the config keeps them (`keep_weights`)."""

from collections.abc import Mapping
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
    needed = {
        wanted
        for run in plan.runs
        if keep == "teachers" or standings[run.id].left
        for wanted in run.prerequisites
    }
    folders = [results.run(name) for name, own in standings.items() if own.usable and name not in needed]
    files = [path for folder in folders for path in (folder.checkpoint, folder.loss_parameters)]
    return [path for path in files if path.exists()]
