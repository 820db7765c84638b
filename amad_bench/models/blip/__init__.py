"""BLIP: all that belongs to this family."""

from amad_bench.models.blip.family import BlipModels

__all__ = ["BlipModels"]
