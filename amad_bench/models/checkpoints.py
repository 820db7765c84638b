"""Weights on disk: safetensors with the head partition, which no parameter's shape shows, in the metadata."""

import json
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from amad_bench.models.heads import head_partition
from amad_bench.models.weights import Weights, own_tensors, require_finite
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import atomic_file


def save_weights(model: nn.Module, path: Path) -> None:
    """Writes each tensor once, tied ones too; equal weights give equal bytes."""
    save_tensors(own_tensors(model), path, head_partition(model))


def save_tensors(tensors: Mapping[str, Tensor], path: Path, heads: Mapping[str, int]) -> None:
    """Writes tensors that share no memory, and the number of heads at each site they belong to."""
    stored = {name: tensor.contiguous() for name, tensor in tensors.items()}
    with atomic_file(path) as temporary:
        save_file(stored, temporary, metadata={"heads": json.dumps(dict(heads), sort_keys=True)})


def save_parameters(module: nn.Module, path: Path) -> None:
    """Writes the state dict of something that is no model: a loss with parameters of its own."""
    with atomic_file(path) as temporary:
        save_file(module.state_dict(), temporary)


def checkpoint_weights(path: Path) -> Weights:
    """What `save_weights` or `save_tensors` wrote; UserError for a file that is no such thing."""
    try:
        with safe_open(str(path), framework="pt") as file:
            stored = (file.metadata() or {}).get("heads", "")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        reason = "a folder" if path.is_dir() else " ".join(str(error).split())
        raise UserError(f"{path}: no weights can be read ({reason}); delete the run's folder") from None
    try:
        heads = json.loads(stored)
    except ValueError:
        heads = None
    if not isinstance(heads, dict):
        raise UserError(f"{path}: weights that do not say which heads they have; delete the run's folder")
    require_finite(tensors, path)
    return Weights(tensors, heads, str(path))


def load_weights(model: nn.Module, path: Path) -> None:
    """Loads strictly; UserError naming the file: missing or unexpected keys, another head partition."""
    weights, heads = checkpoint_weights(path), head_partition(model)
    if weights.heads != heads:
        raise UserError(
            f"{path}: weights of a model with {_counts(weights.heads)} heads cannot be read with "
            f"{_counts(heads)} heads; train that model anew"
        )
    expected = own_tensors(model)
    wrong = sorted(set(expected) ^ set(weights.tensors)) or [
        name for name, tensor in weights.tensors.items() if tensor.shape != expected[name].shape
    ]
    if wrong:
        raise UserError(
            f"{path}: not the weights of this model, see {', '.join(wrong[:3])}; delete the run's folder"
        )
    model.load_state_dict(weights.tensors, strict=False)  # all are there; tied names follow by themselves


def _counts(heads: Mapping[str, int]) -> str:
    """One number where all sites agree."""
    if len(set(heads.values())) == 1:
        return str(next(iter(heads.values())))
    return ", ".join(f"{count} {site}" for site, count in heads.items()) or "no"
