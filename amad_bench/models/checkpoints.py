"""Weights on disk: safetensors with the head partition, which no parameter's shape shows, in the metadata."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model, save_model
from torch import nn

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import atomic_file


def save_weights(model: nn.Module, path: Path, shape: dict[str, Any]) -> None:
    """Writes all weights; `shape`, the canonical config's `model`, has the head count checked at load."""
    with atomic_file(path) as temporary:
        save_model(model, str(temporary), metadata={"heads": str(shape["heads"])})


def load_weights(model: nn.Module, path: Path, shape: dict[str, Any]) -> None:
    """Loads strictly: a missing or unexpected key, or another head count, is a UserError naming the file."""
    try:
        with safe_open(str(path), framework="pt") as file:
            stored = (file.metadata() or {}).get("heads")
        if stored != str(shape["heads"]):
            raise UserError(
                f"{path}: weights of a model with {stored} heads cannot be read with {shape['heads']} heads; "
                "train that model anew"
            )
        load_model(model, str(path), strict=True)
    except (SafetensorError, FileNotFoundError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"{path}: not the weights of this model ({reason}); delete the run's folder"
        ) from None
