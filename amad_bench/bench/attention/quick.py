"""Measurements on a GPU, in minutes: steps with AMAD beside `logit_kd`, the figure, others' models."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from amad_bench.bench.attention.cases import METHODS, Shape
from amad_bench.bench.attention.figure import METHOD
from amad_bench.bench.attention.foreign import bench_foreign
from amad_bench.bench.attention.losses import DRAWN, TOKENS, batch_of, bench_attention
from amad_bench.bench.attention.steps import ALL, LAST, Kind, bench_attention_steps, kinds
from amad_bench.plan.plan import Plan

Rows = list[dict[str, Any]]
Part = tuple[str, Callable[[], Iterable[dict[str, Any]]]]  # "steps", "losses" or "foreign"

LAST_START_S = 330.0  # no part begins later: with the longest one everything takes eight minutes
# Shares of a `logit_kd` step that may be added, of eager and of compiled ones
TIME = {ALL: {False: 0.25, True: 0.40}, LAST: {False: 0.08, True: 0.08}}
MEMORY = {ALL: 0.10}
_FACTS = ("family", "precision", "compiled", "batch", "N", "layers", "kernel", "added_ms", "added_share")


def bench_quick(
    plan: Plan, batch: int, rounds: int, device: str, last_start_s: float = LAST_START_S
) -> Iterator[tuple[str, Rows]]:
    """Names and rows of the parts of `bench_attention_steps`, `bench_attention` and `bench_foreign`.

    The most important first, before them what compiles little; a part for which no time is left has no rows.
    """
    started = time.perf_counter()
    for name, measure in _parts(plan, batch, rounds, device):
        late = time.perf_counter() - started > last_start_s
        yield name, [] if late else list(measure())


def _parts(plan: Plan, batch: int, rounds: int, device: str) -> Iterator[Part]:
    def steps(chosen: Iterable[Kind]) -> Iterator[Part]:
        for kind in chosen:
            yield "steps", partial(bench_attention_steps, plan, batch, rounds, device, kind)

    shapes = [Shape.of_width(batch_of(device), *DRAWN, tokens) for tokens in TOKENS]
    drawn = [method for method in METHODS if method.label == METHOD]
    others = [method for method in METHODS if method.label != METHOD]
    pictures = {run.config.family for run in plan.runs if run.config.inputs.patches is not None}
    every = kinds(plan)
    shown = [kind for kind in every if kind.family in pictures and kind.precision == "bf16"]
    yield from steps(shown[:1])
    yield "losses", partial(bench_attention, device, shapes, drawn, rounds)
    yield from steps(shown[1:])
    yield from steps(kind for kind in every if kind.precision == "bf16" and kind not in shown)
    yield "foreign", partial(bench_foreign, device)
    yield "losses", partial(bench_attention, device, shapes[2:3], others, rounds)
    yield from steps(kind for kind in every if kind.precision != "bf16" and not kind.compiled)


def must_show(rows: Sequence[dict[str, Any]]) -> Rows:
    """Rows of `bench_attention_steps`, those with an upper limit, beside it; "no" is above one.

    Columns: compiled, layers, kernel, N, batch, precision; added_ms, added_share, most; memory_share,
    most_memory; floor_ms, over_floor; met.
    """
    table: Rows = []
    for row in rows:
        if row["layers"] not in TIME or row.get("added_share") is None:
            continue
        most, most_memory = TIME[row["layers"]][row["compiled"]], MEMORY.get(row["layers"])
        met = row["added_share"] <= most and (most_memory is None or row["memory_share"] <= most_memory)
        facts = (
            "family",
            "precision",
            "compiled",
            "batch",
            "N",
            "layers",
            "kernel",
            "added_ms",
            "added_share",
        )
        table.append(
            {name: row[name] for name in facts}
            | {"most": most, "memory_share": row["memory_share"], "most_memory": most_memory}
            | {"floor_ms": row["floor_ms"], "over_floor": row["over_floor"], "met": "yes" if met else "no"}
        )
    return table
