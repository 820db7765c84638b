"""The command that measures: bench."""

import argparse
from typing import Any

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.paths import results_dir


def bench(options: argparse.Namespace) -> None:
    """Prints the measurements and writes them to results/bench/<what>.{parquet,csv}."""
    import pandas as pd

    from amad_bench.runtime.files import write_table
    from amad_bench.runtime.provenance import provenance

    folder = results_dir() / "bench"
    facts = provenance("cpu")
    machine = {key: facts[key] for key in ("commit", "torch", "cpu", "cpu_count", "threads")}
    if options.what == "data":
        if options.records < 1000:
            raise UserError(f"--records: {options.records} is too few to measure; expected at least 1000")
        from amad_bench.bench.data import bench_data

        rows = bench_data(options.records, (folder / "data-files").resolve())
    else:
        if options.threads < 1:
            raise UserError(f"--threads: {options.threads} cannot compute; expected at least 1")
        rows = _on_threads(options)
        machine["threads"] = options.threads
    table = pd.DataFrame(rows)
    write_table(table.assign(**machine), folder / options.what)
    print(table.to_string(index=False, float_format=lambda value: f"{value:.3g}"))


def _on_threads(options: argparse.Namespace) -> list[dict[str, Any]]:
    if options.what == "losses":
        from amad_bench.bench.losses import bench_losses

        return bench_losses(options.threads)
    if options.repeat < 1:
        raise UserError(f"--repeat: {options.repeat} measures nothing; expected at least 1")
    from amad_bench.bench.capture import bench_capture

    return bench_capture(options.threads, options.repeat)
