"""The plan as the Snakefile needs it."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from amad_bench.plan.config.load import load_config
from amad_bench.plan.config.schema import Config
from amad_bench.plan.config.yaml_file import read_yaml
from amad_bench.plan.grid import expand
from amad_bench.plan.plan import Plan
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.paths import DEFAULT_CONFIG


def planned(given: Sequence[Path], merged: Mapping[str, Any], root: Path) -> tuple[Path, Config, Plan]:
    """The one config file in force, read and expanded; a user's mistake ends the process with exit code 2.

    given: the files after --configfile. merged: Snakemake's `config`, empty when neither --configfile nor
    --config was given; then the file is the default one below `root`. It may not differ from the file: the
    commands read the file, and would do something else than was asked for.
    """
    try:
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
    except UserError as error:
        for message in error.messages:
            print(f"amad-bench: error: {message}", file=sys.stderr)
        sys.exit(2)
