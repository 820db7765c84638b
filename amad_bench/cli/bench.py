"""The command that measures: bench."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amad_bench.cli.common import on_device, planned
from amad_bench.plan.limits import MOST_IMAGES, MOST_PARTS
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.paths import DEFAULT_CONFIG, PAPER_CORE, shipped
from amad_bench.runtime.results import RESULTS

MOST_ROUNDS = 100_000


def bench(options: argparse.Namespace) -> None:
    """Prints the measurements and writes them to results/bench/<what>.{parquet,csv}."""
    if options.what == "engine":
        _engine(options)
        return
    if options.what.startswith("attention"):
        _attention(options)
        return
    options.config = options.config or shipped(DEFAULT_CONFIG)
    threads = None
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
    _show(rows)
    _write(rows, options.what, "cpu", threads)


def _engine(options: argparse.Namespace) -> None:
    """Its three parts, each printed when it is measured; in its file they follow each other."""
    from amad_bench.bench.engine.small_runs import bench_small_runs
    from amad_bench.bench.processes import device_name
    from amad_bench.plan.config.load import load_config
    from amad_bench.plan.grid import possible_plan

    plan = possible_plan(load_config(options.config or shipped(PAPER_CORE)))
    device = device_name(options.device)
    # Before this process takes the device, which these runs share.
    parts = {"small runs": bench_small_runs(device, (RESULTS.bench / "engine-files").resolve())}
    _show(parts["small runs"])
    with on_device(device):
        from amad_bench.bench.engine.products import bench_products
        from amad_bench.bench.engine.steps import bench_engine_steps
        from amad_bench.runtime.devices import ready

        ready(device)
        for part, rows in (
            ("products", bench_products(device)),
            ("steps", bench_engine_steps(plan, device)),
        ):
            parts[part] = list(rows)
            _show(parts[part])
        _write(_joined(parts), "engine", device, None)


def _attention(options: argparse.Namespace) -> None:
    """On the device: losses from queries and keys, or whole steps, or of both what minutes allow."""
    threads = 2 if options.threads is None else options.threads
    _require("--threads", threads, 1, MOST_PARTS)
    with on_device(options.device):
        from amad_bench.bench.measuring import on_threads
        from amad_bench.runtime.devices import ready

        device = ready(options.device).name
        with on_threads(threads):
            ATTENTION[options.what](device, threads)


def _attention_losses(device: str, threads: int) -> None:
    from amad_bench.bench.attention.figure import draw_attention
    from amad_bench.bench.attention.losses import bench_attention, grid

    rows: list[dict[str, Any]] = []
    for shape in grid(device):
        measured = list(bench_attention(device, [shape]))
        _show(measured)
        rows += measured
    _write(rows, "attention", device, threads)
    _drawn(draw_attention(rows, RESULTS.bench / "attention"))


def _attention_steps(device: str, threads: int) -> None:
    from amad_bench.bench.attention.foreign import bench_foreign
    from amad_bench.bench.attention.steps import bench_attention_steps, kinds, precisions_of, size_of

    plan, batch, rounds = size_of(device)
    rows: list[dict[str, Any]] = []
    for kind in kinds(plan, precisions_of(device)):
        measured = bench_attention_steps(plan, batch, rounds, device, kind)
        _show(measured)
        rows += measured
    foreign = list(bench_foreign(device))
    _show(foreign)
    _write(_joined({"steps": rows, "foreign": foreign}), "attention-steps", device, threads)


def _attention_quick(device: str, threads: int) -> None:
    from amad_bench.bench.attention.figure import draw_attention
    from amad_bench.bench.attention.quick import bench_quick, must_show
    from amad_bench.bench.attention.steps import size_of

    parts: dict[str, list[dict[str, Any]]] = {}
    path = RESULTS.bench / "attention-quick"
    for part, rows in bench_quick(*size_of(device), device=device):
        if not rows:
            print(f"{part}: no time is left for more of them", flush=True)
            continue
        _show(rows)
        parts.setdefault(part, []).extend(rows)
        # Each time, should somebody's patience end before this does.
        _write(_joined(parts), path.name, device, threads)
        if part == "losses":
            _drawn(draw_attention(parts[part], path))
        if part == "steps":
            _show(must_show(parts[part]))


ATTENTION = {
    "attention": _attention_losses,
    "attention-steps": _attention_steps,
    "attention-quick": _attention_quick,
}


def _drawn(paths: list[Path]) -> None:
    print(*paths, sep="\n", flush=True)


def _joined(parts: Mapping[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [{"part": part, **row} for part, rows in parts.items() for row in rows]


def _show(rows: list[dict[str, Any]]) -> None:
    import pandas as pd

    print(pd.DataFrame(rows).to_string(index=False, float_format=lambda value: f"{value:.3g}"), flush=True)


def _write(rows: list[dict[str, Any]], what: str, device: str, threads: int | None) -> None:
    """threads: on which the rows were measured, where it was not what this process has now."""
    import pandas as pd

    from amad_bench.runtime.files import write_table
    from amad_bench.runtime.provenance import provenance

    facts = provenance(device)
    machine = {key: facts[key] for key in ("commit", "torch", "cpu", "cpu_count", "threads", "device_name")}
    machine |= {} if threads is None else {"threads": threads}
    write_table(pd.DataFrame(rows).assign(**machine), RESULTS.bench / what)


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
