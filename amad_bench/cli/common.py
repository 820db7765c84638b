"""Helpers of several commands."""

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from amad_bench.plan.grid import Plan


def planned(options: argparse.Namespace) -> "Plan":
    """The plan of `--config`."""
    from amad_bench.plan.grid import expand
    from amad_bench.plan.schema import load_config

    return expand(load_config(options.config))
