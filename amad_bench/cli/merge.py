"""Merging for the command collect: the runs of other machines, copied into these results."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from amad_bench.runtime.locks import exclusive
from amad_bench.runtime.results import RESULTS

if TYPE_CHECKING:
    from amad_bench.analysis.merging.choice import Choice
    from amad_bench.analysis.merging.sources import Source
    from amad_bench.plan.config.schema import Config
    from amad_bench.plan.plan import Plan


def merge(config: "Config", plan: "Plan", paths: Sequence[Path]) -> None:
    """Copy what has ended in other results folders, and is not here yet; say in what copies differ.

    All is looked at before anything is written. A run is here as a whole or not at all: killed in between,
    the same command goes on. UserError for what is no results folder, and for runs of other versions.
    """
    from amad_bench.analysis.merging.choice import choose
    from amad_bench.analysis.merging.differences import difference_lines, differences
    from amad_bench.analysis.merging.sources import read_own, read_source, results_folders
    from amad_bench.analysis.score_files import refuse_mixed_signatures
    from amad_bench.runtime.files import write_table

    folders = results_folders(paths, RESULTS)
    own = read_own(plan, RESULTS)
    sources = [read_source(plan, folder) for folder in folders]
    chosen = choose(plan, [own, *sources])
    statuses = {name: choice.kept.own.status for name, choice in chosen.choices.items()}
    refuse_mixed_signatures({name: status.signatures for name, status in statuses.items() if status})
    differing = differences(plan, chosen.choices)
    for source in sources:
        _copy(config, plan, source, chosen.choices, chosen.taken(source))
    write_table(differing, RESULTS.merged)
    broken = [line for source in sources for line in source.broken]
    for line in (*broken, *chosen.refused, *difference_lines(differing)):
        print(line, file=sys.stderr)
    if not differing.empty:
        print(f"{RESULTS.merged.with_suffix('.csv')}: in what copies of one run differ", file=sys.stderr)


def _copy(
    config: "Config",
    plan: "Plan",
    source: "Source",
    choices: "dict[str, Choice]",
    taken: "Sequence[Choice]",
) -> None:
    from amad_bench.plan.weights import kept_weights
    from amad_bench.runtime.run_folder.copying import copy_run
    from amad_bench.scoring.extra import adopt_extra

    left = plan.by_id.keys() - choices.keys()
    weights = kept_weights(plan, left, config.keep_weights)
    for choice in taken:
        folder = choice.kept.folder
        copy_run(folder, RESULTS.run(folder.id), weights=folder.id in weights)
    RESULTS.path.mkdir(parents=True, exist_ok=True)
    with exclusive(RESULTS.path):  # `score` writes the same file
        adopt_extra(RESULTS, source.results, [choice.kept.folder.id for choice in taken])
    ended = sum(not copy.own.left for copy in source.copies.values())
    there = {"not ended there": len(source.copies) - ended, "broken": len(source.broken)}
    there |= {"of other configs": source.foreign}
    rest = "".join(f", {count} {what}" for what, count in there.items() if count)
    print(f"{source.results.path}: {len(taken)} of {ended} ended runs taken{rest}")
