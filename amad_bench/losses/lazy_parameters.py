"""Parameters of losses, whose sizes only traces tell."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


def linear_start(shape: Sequence[int], inputs: int) -> Tensor:
    """Numbers as torch starts a linear layer of so many inputs, from its global CPU generator."""
    bound = inputs**-0.5
    return torch.empty(*shape).uniform_(-bound, bound)


class LazyParameters(nn.Module):
    """Parameters by any name, created once their sizes are known: from traces, or by loading a state dict
    (then on that one's device)."""

    def __contains__(self, name: str) -> bool:
        return self._key(name) in self._parameters

    def __getitem__(self, name: str) -> nn.Parameter:
        return self.get_parameter(self._key(name))

    def __len__(self) -> int:
        return len(self._parameters)

    def create(self, name: str, initial: Tensor) -> None:
        self.register_parameter(self._key(name), nn.Parameter(initial))

    @staticmethod
    def _key(name: str) -> str:
        return name.replace(".", "-")  # a dot in a state dict's key separates modules

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        for key, value in state_dict.items():
            name = key.removeprefix(prefix)
            if key.startswith(prefix) and name not in self._parameters:
                self.register_parameter(name, nn.Parameter(torch.empty_like(value)))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)  # pyright: ignore[reportUnknownMemberType]
