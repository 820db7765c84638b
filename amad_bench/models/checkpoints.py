"""Weights on disk: safetensors with the head count, which no parameter's shape shows, in the metadata."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import atomic_file


def save_weights(model: nn.Module, path: Path, shape: dict[str, Any]) -> None:
    """Writes each tensor once, tied ones too; equal weights give equal bytes.

    `shape`, the canonical config's `model`, has the head count that `load_weights` checks.
    """
    with atomic_file(path) as temporary:
        save_file(_tensors(model), temporary, metadata={"heads": str(shape["heads"])})


def save_parameters(module: nn.Module, path: Path) -> None:
    """Writes the state dict of something that is no model: a loss with parameters of its own."""
    with atomic_file(path) as temporary:
        save_file(module.state_dict(), temporary)


def load_weights(model: nn.Module, path: Path, shape: dict[str, Any]) -> None:
    """Loads strictly: a missing or unexpected key, or another head count, is a UserError naming the file."""
    try:
        with safe_open(str(path), framework="pt") as file:
            stored = (file.metadata() or {}).get("heads")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, FileNotFoundError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path}: no weights can be read ({reason}); delete the run's folder") from None
    if stored != str(shape["heads"]):
        raise UserError(
            f"{path}: weights of a model with {stored} heads cannot be read with {shape['heads']} heads; "
            "train that model anew"
        )
    expected = _tensors(model)
    wrong = sorted(set(expected) ^ set(tensors)) or [
        name for name, tensor in tensors.items() if tensor.shape != expected[name].shape
    ]
    if wrong:
        raise UserError(
            f"{path}: not the weights of this model, see {', '.join(wrong[:3])}; delete the run's folder"
        )
    model.load_state_dict(tensors, strict=False)  # all are there; tied names follow by themselves


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """Every stored tensor under its first name: tied parameters stand in the state dict several times."""
    first: dict[int, str] = {}
    state = model.state_dict()
    for name, tensor in state.items():
        first.setdefault(tensor.data_ptr(), name)
    return {name: state[name].contiguous() for name in first.values()}
