"""The command that measures: bench."""

import argparse
from typing import Any

from amad_bench.cli.common import planned
from amad_bench.plan.limits import MOST_IMAGES, MOST_PARTS
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.results import RESULTS

MOST_ROUNDS = 100_000


def bench(options: argparse.Namespace) -> None:
    """Prints the measurements and writes them to results/bench/<what>.{parquet,csv}."""
    import pandas as pd

    from amad_bench.runtime.files import write_table
    from amad_bench.runtime.provenance import provenance

    facts = provenance("cpu")
    machine = {key: facts[key] for key in ("commit", "torch", "cpu", "cpu_count", "threads")}
    if options.what == "scaling":
        from amad_bench.bench.scaling import bench_scaling

        rows = bench_scaling((RESULTS.bench / "scaling-files").resolve())
    elif options.what == "data":
        _require("--records", options.records, 1000, MOST_IMAGES)
        from amad_bench.bench.data import bench_data

        rows = bench_data(options.records, (RESULTS.bench / "data-files").resolve())
    else:
        steps = options.what == "steps"
        threads = options.threads if options.threads is not None else 1 if steps else 2
        rounds = options.repeat if options.repeat is not None else 60 if steps else 3
        _require("--threads", threads, 1, MOST_PARTS)
        _require("--repeat", rounds, 1, MOST_ROUNDS)
        rows = _on_threads(options, threads, rounds)
        machine["threads"] = threads
    table = pd.DataFrame(rows)
    write_table(table.assign(**machine), RESULTS.bench / options.what)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3g}"))


def _require(name: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise UserError(f"{name}: expected a number from {least:,} to {most:,}, found {value}")


def _on_threads(options: argparse.Namespace, threads: int, rounds: int) -> list[dict[str, Any]]:
    if options.what == "losses":
        from amad_bench.bench.losses import bench_losses

        return bench_losses(threads)
    if options.what == "steps":
        from amad_bench.bench.steps import bench_steps

        return bench_steps(planned(options), threads, rounds)
    from amad_bench.bench.capture import bench_capture

    return bench_capture(threads, rounds)
