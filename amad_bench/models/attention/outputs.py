"""Outputs of layers, kept without a hook: torch.compile does not look again at the hooks of a known module.

A watched module is of a class that differs from its own in one thing: its forward pass keeps what it returns.
"""

from functools import cache, wraps
from typing import Any

from torch import Tensor, nn

from amad_bench.models.attention.capture import is_recomputed

KEPT = "_amad_output"  # a module's attribute while it is watched


class WatchedOutput:
    """The last output of a module, while it is watched: (B, L, d), of a tuple the first."""

    def __init__(self, module: nn.Module) -> None:
        self.output: Tensor | None = None
        self._module, self._class = module, type(module)

    def open(self) -> None:
        """Watches the module from now on."""
        if getattr(self._module, KEPT, None) is not None:
            raise ValueError(f"{self._class.__name__} is recorded already: close the other record first")
        self._module.__class__ = _watched(self._class)
        setattr(self._module, KEPT, self)

    def close(self) -> None:
        """Leaves the module as it was."""
        self.output = None
        self._module.__class__ = self._class
        delattr(self._module, KEPT)


def _empty(kind: type[nn.Module]) -> nn.Module:
    return kind.__new__(kind)


@cache
def _watched(kind: type[nn.Module]) -> type[nn.Module]:
    @wraps(kind.forward)
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        if type(self) is kind:
            # A checkpointed layer, in a backward pass after the record was closed. transformers checkpoints
            # the outermost class's forward: with another class than before it would do so within itself.
            self.__class__ = watched
            try:
                return kind.forward(self, *args, **kwargs)
            finally:
                self.__class__ = kind
        output = kind.forward(self, *args, **kwargs)
        kept = getattr(self, KEPT, None)
        if kept is not None and not is_recomputed():
            kept.output = output[0] if isinstance(output, tuple) else output
        return output

    def reduced(self: nn.Module, protocol: Any) -> Any:
        """A module of its own class, that is not watched, for copies and files."""
        parts: Any = kind.__reduce_ex__(self, protocol)
        state = {name: one for name, one in parts[2].items() if name != KEPT}
        return _empty, (kind,), state, *parts[3:]

    own = {"forward": forward, "__reduce_ex__": reduced, "__module__": kind.__module__}
    watched = type(kind.__name__, (kind,), own)
    return watched
