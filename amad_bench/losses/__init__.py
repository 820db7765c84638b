"""Distillation losses: one method, one file; `build_loss` makes them by name. Needs torch and numpy only."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from amad_bench.losses.amad import Amad, alignment_weights, amad_loss
from amad_bench.losses.base import LayerMap, MapLoss
from amad_bench.losses.ce import CrossEntropy, ce_loss
from amad_bench.losses.logit_kd import LogitKD, logit_kd_loss
from amad_bench.losses.one_to_one import OneToOne, one_to_one_loss
from amad_bench.losses.student_mean import StudentMean, student_mean_loss
from amad_bench.plan.catalogue import LOSSES, OptionSpec
from amad_bench.runtime.errors import did_you_mean

__all__ = [
    "IMPLEMENTATIONS",
    "alignment_weights",
    "amad_loss",
    "build_loss",
    "ce_loss",
    "logit_kd_loss",
    "one_to_one_loss",
    "student_mean_loss",
]

IMPLEMENTATIONS: Mapping[str, type[nn.Module]] = {  # the same names as the catalogue's
    "ce": CrossEntropy,
    "logit_kd": LogitKD,
    "one_to_one": OneToOne,
    "student_mean": StudentMean,
    "amad": Amad,
}


def build_loss(
    name: str, *, sites: Sequence[str] | None = None, layer_map: LayerMap = "last", **options: Any
) -> nn.Module:
    """The loss called `name`: module(teacher: Trace, student: Trace) -> {part: unweighted scalar}.

    sites: None = all that both traces hold; layer_map: "last", "uniform" or [[student, teacher], ...];
    losses that compare no attention use neither. Options left out get the catalogue's defaults.
    Raises ValueError for an unknown name or option and for a value that the catalogue does not allow.
    """
    if name not in LOSSES:
        raise ValueError(
            f"unknown loss {name!r}; available: {', '.join(LOSSES)}.{did_you_mean(name, LOSSES)}"
        )
    record = LOSSES[name]
    for key, value in options.items():
        if key not in record.options:
            known, hint = ", ".join(record.options) or "none", did_you_mean(key, record.options)
            raise ValueError(f"loss {name!r} has no option {key!r}; its options: {known}.{hint}")
        _check_option(name, key, value, record.options[key])
    implementation = IMPLEMENTATIONS[name]
    if issubclass(implementation, MapLoss):
        return implementation(sites, layer_map, **record.complete(options))
    return implementation(**record.complete(options))


def _check_option(loss: str, key: str, value: Any, spec: OptionSpec) -> None:
    """Raises ValueError for a value of another type, outside the choices or outside the range."""
    where = f"loss {loss!r}, option {key!r}"
    accepted = (int, float) if spec.type is float else spec.type
    if not isinstance(value, accepted) or (isinstance(value, bool) and spec.type is not bool):
        raise ValueError(f"{where}: expected {spec.type.__name__}, not {value!r}")
    if spec.choices and value not in spec.choices:
        known = ", ".join(spec.choices)
        raise ValueError(f"{where}: {value!r} is none of {known}.{did_you_mean(value, spec.choices)}")
    if spec.above is not None and not value > spec.above:
        raise ValueError(f"{where}: must be above {spec.above}, not {value}")
    if spec.minimum is not None and not value >= spec.minimum:
        raise ValueError(f"{where}: must be at least {spec.minimum}, not {value}")
