"""Weights that were read from somewhere, under the names of our models' state dicts."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor, nn


@dataclass(frozen=True)
class Weights:
    """tensors: by parameter name, tied ones under at least one of their names; heads: by site.

    where: the file or folder they come from, for messages.
    """

    tensors: Mapping[str, Tensor]
    heads: Mapping[str, int]
    where: str


def first_names(model: nn.Module) -> dict[str, str]:
    """The first name of each tensor by all of its names: tied ones stand in the state dict several times."""
    first: dict[int, str] = {}
    return {name: first.setdefault(tensor.data_ptr(), name) for name, tensor in model.state_dict().items()}


def own_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The model's tensors themselves, each once, under its first name."""
    state = model.state_dict()
    return {name: state[name] for name in dict.fromkeys(first_names(model).values())}
