"""Distillation in anyone's training loop: `Distiller`, and `DistillingMixin` for transformers' Trainer.

Needs torch and numpy only; of transformers' models and Trainer what it is given.
"""

from amad_bench.distil.distiller import Distiller, Parts
from amad_bench.distil.trainer import DistillingMixin

__all__ = ["Distiller", "DistillingMixin", "Parts"]
