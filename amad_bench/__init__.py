"""amad_bench: attention-map distillation across head counts, as a reproducible benchmark."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amad_bench.distil import Distiller
    from amad_bench.losses import alignment_weights, amad_loss, build_loss
    from amad_bench.models.attention.recorder import record
    from amad_bench.models.attention.sites import sites_of
    from amad_bench.models.attention.trace import LayerTrace, Trace
    from amad_bench.models.heads import cut

__all__ = [
    "Distiller",
    "LayerTrace",
    "Trace",
    "alignment_weights",
    "amad_loss",
    "build_loss",
    "cut",
    "record",
    "sites_of",
]

__version__ = "0.1.0"

_HOMES = {
    "Distiller": "amad_bench.distil",
    "LayerTrace": "amad_bench.models.attention.trace",
    "Trace": "amad_bench.models.attention.trace",
    "alignment_weights": "amad_bench.losses",
    "amad_loss": "amad_bench.losses",
    "build_loss": "amad_bench.losses",
    "cut": "amad_bench.models.heads",
    "record": "amad_bench.models.attention.recorder",
    "sites_of": "amad_bench.models.attention.sites",
}


def __getattr__(name: str) -> Any:
    """A public name, from its home: `import amad_bench` alone loads no torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
