"""The plan as the Snakefile needs it, and what is left of it."""

import sys
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from amad_bench.plan.agreement import align_markers, forget_outdated_tables
from amad_bench.plan.config.load import load_config
from amad_bench.plan.config.schema import Config
from amad_bench.plan.config.yaml_file import read_yaml
from amad_bench.plan.gpu_slots import GpuSlots, gpu_slots
from amad_bench.plan.grid import expand
from amad_bench.plan.plan import Plan
from amad_bench.plan.standing import standing
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.paths import DEFAULT_CONFIG
from amad_bench.runtime.results import RESULTS
from amad_bench.runtime.snakemake_lock import take_over

SNAKEMAKE = Path(".snakemake")


def planned(given: Sequence[Path], merged: Mapping[str, Any], root: Path) -> tuple[Path, Config, Plan]:
    """The one config file in force, read and expanded; a user's mistake ends the process with exit code 2.

    given: the files after --configfile. merged: Snakemake's `config`, empty when neither --configfile nor
    --config was given; then the file is the default one below `root`. It may not differ from the file: the
    commands read the file, and would do something else than was asked for.
    """
    with _mistakes_end_here():
        if len(given) > 1:
            names = ", ".join(map(str, given))
            raise UserError(f"--configfile: one file was expected, found {len(given)}: {names}; write one")
        path = given[0] if given else root / DEFAULT_CONFIG
        config = load_config(path)
        if merged and merged != read_yaml(path):
            raise UserError(
                f"{path}: --config changes this file's values, but a result must belong to one file: "
                "copy the file, change the copy and give it with --configfile"
            )
        return path, config, expand(config)


@contextmanager
def _mistakes_end_here() -> Generator[None]:
    """A user's mistake inside ends the process with exit code 2."""
    try:
        yield
    except UserError as error:
        for message in error.messages:
            print(f"amad-bench: error: {message}", file=sys.stderr)
        sys.exit(2)


def slots(plan: Plan, config: Config, *, main: bool, nodes: int | None) -> GpuSlots:
    """The slots on GPUs that Snakemake deals out; a user's mistake ends the process with exit code 2.

    main: of the process that a person called. nodes: the number of jobs on other machines, None where all run
    on this one. Only the first of them deals out anything here.
    """
    with _mistakes_end_here():
        return gpu_slots(plan, config, local=main and nodes is None)


def left_runs(plan: Plan, main: bool, dry: bool) -> set[str]:
    """The ids of the runs that Snakemake may train.

    main: of the process that a person called: what Snakemake sees is first brought in line with what has
    ended, of a dry run, too, so that it tells the truth; else markers alone say what is needed. dry: nothing
    will be run, so only markers are touched.
    """
    if not main:  # its run may have ended just now, which is no mistake
        return set(plan.by_id)
    alone = not dry and take_over(SNAKEMAKE)
    standings = standing(plan, RESULTS)
    try:
        align_markers(plan, standings, RESULTS)
        if alone:
            forget_outdated_tables(plan, standings, RESULTS)
    except OSError as error:  # read-only, or full
        refused = f"{error.filename}: {error.strerror}"
        print(f"amad-bench: {refused}; runs that have ended are not marked", file=sys.stderr)
    return {identifier for identifier, own in standings.items() if own.left}


def run_markers(plan: Plan, left: Collection[str]) -> list[Path]:
    """The markers of all runs but of those that have ended in results that are read-only, and have none."""
    markers = {identifier: RESULTS.run(identifier).ended for identifier in plan.by_id}
    return [marker for identifier, marker in markers.items() if identifier in left or marker.exists()]
