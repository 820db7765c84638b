"""amad_bench: attention-map distillation across head counts, as a reproducible benchmark."""

__version__ = "0.1.0"
