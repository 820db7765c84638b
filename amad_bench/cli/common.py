"""Helpers of several commands."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amad_bench.plan.plan import Plan


def planned(options: argparse.Namespace) -> "Plan":
    """The plan of `--config`."""
    from amad_bench.plan.config.load import load_config
    from amad_bench.plan.grid import expand

    return expand(load_config(options.config))
