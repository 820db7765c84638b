"""VL-T5: all that belongs to this family."""

from amad_bench.models.vlt5.family import Vlt5Models
from amad_bench.models.vlt5.model import VLT5, VLT5Config

__all__ = ["VLT5", "VLT5Config", "Vlt5Models"]
