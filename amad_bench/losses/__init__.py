"""Distillation losses: one method, one file; `build_loss` makes them by name.

Needs torch and numpy only (`hungarian` scipy, too).
"""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from amad_bench.losses.a2d import a2d_loss
from amad_bench.losses.amad import alignment_weights, amad_loss, token_alignment_weights
from amad_bench.losses.base import LayerLoss, LayerMap, TraceLoss
from amad_bench.losses.ce import ce_loss
from amad_bench.losses.head_mean import head_mean_loss
from amad_bench.losses.hidden_mse import hidden_mse_loss
from amad_bench.losses.hungarian import hungarian_loss
from amad_bench.losses.logit_kd import logit_kd_loss
from amad_bench.losses.minilm import minilm_loss
from amad_bench.losses.minilm_v2 import minilm_v2_loss
from amad_bench.losses.one_to_one import one_to_one_loss
from amad_bench.losses.random_alignment import random_alignment_loss
from amad_bench.losses.shd import shd_loss
from amad_bench.losses.sinkhorn import sinkhorn_loss
from amad_bench.losses.student_mean import student_mean_loss
from amad_bench.losses.tinybert import tinybert_attention_loss
from amad_bench.plan.catalogue import LOSSES, Loss
from amad_bench.plan.catalogue.options import check_options
from amad_bench.plan.shown import unknown

__all__ = [
    "a2d_loss",
    "alignment_weights",
    "amad_loss",
    "build_loss",
    "ce_loss",
    "head_mean_loss",
    "hidden_mse_loss",
    "hungarian_loss",
    "logit_kd_loss",
    "minilm_loss",
    "minilm_v2_loss",
    "one_to_one_loss",
    "random_alignment_loss",
    "shd_loss",
    "sinkhorn_loss",
    "student_mean_loss",
    "tinybert_attention_loss",
    "token_alignment_weights",
]


def build_loss(
    name: str, *, sites: Sequence[str] | None = None, layer_map: LayerMap = "last", **options: Any
) -> TraceLoss:
    """The loss called `name`: module(teacher: Trace, student: Trace) -> {part: unweighted scalar}.

    sites: None = all that both traces hold; layer_map: "last", "uniform" or [[student, teacher], ...];
    losses that compare no attention use neither. Options left out get the catalogue's defaults; losses that
    draw something once take a `seed` (0) too. Where `materialise` creates parameters, call it once before
    creating the optimizer.
    Raises ValueError for an unknown name or option, for a value that the catalogue does not allow and for
    options that cannot go together.
    """
    if name not in LOSSES:
        raise ValueError(unknown("loss", name, LOSSES))
    record = LOSSES[name]
    given = {"seed": options.pop("seed", 0)} if record.seeded else {}
    if problem := next(check_options(name, options, record.options, elsewhere=record.elsewhere), None):
        raise ValueError(problem)
    if clash := record.clash(options):
        raise ValueError(f"{name}: {clash}")
    implementation = implementation_of(record)
    if issubclass(implementation, LayerLoss):
        return implementation(sites, layer_map, **given, **record.complete(options))
    return implementation(**record.complete(options))


def implementation_of(record: Loss) -> type[TraceLoss]:
    """The class behind a record of the catalogue."""
    return getattr(import_module(f"amad_bench.losses.{record.name}"), record.implementation)
