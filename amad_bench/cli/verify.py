"""The command verify: results against a committed reference, or as a new one."""

import argparse
from pathlib import Path

from amad_bench.cli.tables import read_collected
from amad_bench.runtime.paths import DEFAULT_CONFIG, shipped
from amad_bench.runtime.results import RESULTS


def verify(options: argparse.Namespace) -> int:
    """Exit code: 1 where something really differs, else 0."""
    if options.write is not None:
        from amad_bench.analysis.reference.writing import write_reference

        options.config = options.config or shipped(DEFAULT_CONFIG)
        stamp = write_reference(options.write, options.config, read_collected(options), RESULTS)
        print(f"{options.write}: {len(stamp.columns)} tables at commit {stamp.commit[:7]}")
        return 0
    from amad_bench.analysis.reference.stamp import Stamp
    from amad_bench.analysis.reference.verifying import verify as verified

    stamp = Stamp.read(options.reference)
    options.config = options.config or shipped(Path(stamp.config))
    found = verified(options.reference, stamp, read_collected(options), RESULTS)
    print("\n".join(found.lines))
    return int(found.failed)
