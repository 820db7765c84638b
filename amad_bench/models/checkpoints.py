"""Weights on disk: safetensors with what no parameter shows, heads and settings, in the metadata."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from amad_bench.models.heads import head_partition
from amad_bench.models.settings import settings_of
from amad_bench.models.weights import Settings, Weights, own_tensors, require_finite, require_fitting
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import atomic_file


def save_weights(model: nn.Module, path: Path) -> None:
    """Writes each tensor once, tied ones too; equal weights give equal bytes."""
    save_tensors(own_tensors(model), path, head_partition(model), settings_of(model))


def save_tensors(
    tensors: Mapping[str, Tensor], path: Path, heads: Mapping[str, int], settings: Settings
) -> None:
    """Writes tensors that share no memory, the number of heads at each site they belong to, and settings."""
    stored = {name: tensor.contiguous() for name, tensor in tensors.items()}
    model = json.dumps({"heads": dict(heads), "settings": dict(settings)}, sort_keys=True)
    with atomic_file(path) as temporary:
        save_file(stored, temporary, metadata={"model": model})  # of several keys the order would vary


def save_parameters(module: nn.Module, path: Path) -> None:
    """Writes the state dict of something that is no model: a loss with parameters of its own."""
    with atomic_file(path) as temporary:
        save_file(module.state_dict(), temporary)


def checkpoint_weights(path: Path) -> Weights:
    """Weights that `save_weights` or `save_tensors` wrote; UserError for a file that is no such thing."""
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        reason = "a folder" if path.is_dir() else " ".join(str(error).split())
        raise UserError(f"{path}: no weights can be read ({reason}); delete the run's folder") from None
    heads, settings = _stated(path, metadata)
    require_finite(tensors, path)
    return Weights(tensors, heads, str(path), settings, heads_from="its run")


def _stated(path: Path, metadata: Mapping[str, str]) -> tuple[dict[str, int], dict[str, Any]]:
    try:
        model = json.loads(metadata.get("model", ""))
        return dict(model["heads"]), dict(model["settings"])
    except (ValueError, TypeError, KeyError):
        raise UserError(
            f"{path}: weights that do not say which heads and settings they have; delete the run's folder"
        ) from None


def load_weights(model: nn.Module, weights: Weights) -> None:
    """Loads what `checkpoint_weights` read strictly into a model that was built with its settings.

    UserError naming the file: missing or unexpected keys, another head partition or other settings.
    """
    path, heads, settings = weights.where, head_partition(model), settings_of(model)
    if weights.heads != heads:
        raise UserError(
            f"{path}: weights of a model with {_counts(weights.heads)} heads cannot be read with "
            f"{_counts(heads)} heads; train that model anew"
        )
    if weights.settings != settings:
        raise UserError(
            f"{path}: weights for {weights.settings} in a model of {settings}; train that model anew"
        )
    require_fitting(weights.tensors, own_tensors(model), path, "delete the run's folder")
    model.load_state_dict(weights.tensors, strict=False)  # all are there; tied names follow by themselves


def _counts(heads: Mapping[str, int]) -> str:
    """One number where all sites agree."""
    if len(set(heads.values())) == 1:
        return str(next(iter(heads.values())))
    return ", ".join(f"{count} {site}" for site, count in heads.items()) or "no"
