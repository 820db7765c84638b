"""Weights that were read from somewhere, under the names of our models' state dicts."""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from amad_bench.runtime.errors import UserError

# Numbers of a model that no tensor shows: activations, epsilons, T5's longest distance. Like the heads, they
# are part of a checkpoint: the same tensors compute something else with others.
Settings = Mapping[str, str | int | float]
Colours = tuple[Sequence[float], Sequence[float]]
_NAMED = 20  # tensors that an error lists of each kind


class SettingNames(NamedTuple):
    """Settings that one of a model's configs has; prefix: tells those of its parts apart."""

    prefix: str
    names: tuple[str, ...]

    def of(self, config: Any) -> dict[str, str | int | float]:
        """The settings in a config that has these names."""
        return {self.prefix + name: getattr(config, name) for name in self.names}


@dataclass(frozen=True)
class Weights:
    """tensors: by parameter name, tied ones under at least one of their names; heads: by site.

    where: the file or folder they come from, for messages. settings: see `models/settings.py`. heads_from:
    what says how many heads there are. token_ids: by name of the model's config, those that its folder names.
    left_out: tensors of the file that the model has no place for. colours: mean and spread of red, green and
    blue that images had, where the folder says so.
    """

    tensors: Mapping[str, Tensor]
    heads: Mapping[str, int]
    where: str
    settings: Settings = field(default_factory=dict)
    heads_from: str = ""
    token_ids: Mapping[str, int] = field(default_factory=dict)
    left_out: Sequence[str] = ()
    colours: Colours | None = None


def first_names(model: nn.Module) -> dict[str, str]:
    """The first name of each tensor by all of its names: tied ones stand in the state dict several times."""
    first: dict[int, str] = {}
    # by identity, since tensors on the meta device have no address
    state = model.state_dict(keep_vars=True)
    return {name: first.setdefault(id(tensor), name) for name, tensor in state.items()}


def own_tensors(model: nn.Module) -> dict[str, Tensor]:
    """The model's tensors themselves, each once, under its first name."""
    state = model.state_dict()
    return {name: state[name] for name in dict.fromkeys(first_names(model).values())}


def read_pickle(path: Path) -> dict[str, Tensor]:
    """The state dict that torch.save wrote; nothing but tensors is unpickled.

    Raises UserError for pickled code, and almost any other exception for a broken file.
    """
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "GLOBAL" in str(error):  # the instruction that asks for a class or function
            raise UserError(
                f"{path}: holds pickled code, which is not read; save the model's state dict alone"
            ) from None
        raise pickle.UnpicklingError("damaged, or not written by PyTorch") from None  # its own text is long
    if not isinstance(stored, Mapping) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in stored.items()
    ):
        raise ValueError("not a state dict")
    return dict(stored)


def listed(names: Sequence[str], most: int = 3) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return (", ".join(names[:most]) or "nothing") + more


def require_fitting(
    tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: object, way_out: str
) -> None:
    """UserError naming what is missing, unexpected or of another shape than a model's own tensors.

    where: the file or folder of the tensors; way_out: what to do about it.
    """
    shapes = [
        f"{name} is {tuple(tensors[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    missing, unexpected = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
    if missing or unexpected or shapes:
        raise UserError(
            f"{where}: not the weights of this model: missing {listed(sorted(missing), _NAMED)}; unexpected "
            f"{listed(sorted(unexpected), _NAMED)}; of another shape {listed(shapes, _NAMED)}; {way_out}"
        )


def require_finite(tensors: Mapping[str, Tensor], where: object) -> None:
    """UserError naming the first tensor that holds NaN or infinity."""
    for name, tensor in tensors.items():
        if not bool(tensor.isfinite().all()):
            raise UserError(f"{where}: {name} is not finite, it holds NaN or infinity; take other weights")
