"""Attention that is written by hand, as stock BLIP's: seen by hooks on its projections and on itself."""

import inspect
from typing import Any

import torch
from torch import Tensor, nn

from amad_bench.models.attention.capture import check_gradient, is_recomputed
from amad_bench.models.attention.kinds import Attention
from amad_bench.models.attention.trace import AttentionDomainError, LayerTrace


class HookedLayer:
    """A layer whose last forward pass is kept; `where` names it in messages."""

    def __init__(self, where: str, attention: Attention) -> None:
        self._where, self._attention = where, attention
        self._trace: LayerTrace | None = None
        self._grad = False  # whether gradients were recorded in it
        self._handles: list[Any] = []

    def open(self) -> None:
        """Sets the hooks."""
        where, attention = self._where, self._attention
        projected: dict[str, Tensor] = {}
        signature = inspect.signature(attention.module.forward)

        def after(_module: nn.Module, args: tuple, kwargs: dict[str, Any], _output: Any) -> None:
            if is_recomputed():
                projected.clear()
                return
            self._grad = torch.is_grad_enabled()
            arguments = _by_name(signature, args, kwargs)
            try:
                if len(projected) < len(attention.kind.projections):
                    raise AttentionDomainError("its keys come from a cache; record whole passes")
                self._trace = attention.trace(projected, arguments)
            except AttentionDomainError as error:
                raise AttentionDomainError(f"{where}: {error}") from None
            finally:
                projected.clear()

        self._handles = [attention.module.register_forward_hook(after, with_kwargs=True)]
        for name in attention.kind.projections:

            def keep(_module: nn.Module, _args: tuple, output: Tensor, name: str = name) -> None:
                projected[name] = output

            self._handles.append(attention.module.get_submodule(name).register_forward_hook(keep))

    @property
    def seen(self) -> bool:
        """Whether there was a pass."""
        return self._trace is not None

    def trace(self, has_gradient: bool) -> LayerTrace:
        """The last pass. has_gradient: whether its output has one; AttentionDomainError: its queries not."""
        assert self._trace is not None
        try:
            check_gradient(self._attention.module, self._grad, has_gradient)
        except AttentionDomainError as error:
            raise AttentionDomainError(f"{self._where}: {error}") from None
        return self._trace

    def forget(self) -> None:
        """Lets go of it."""
        self._trace = None

    def close(self) -> None:
        """Removes the hooks."""
        for handle in self._handles:
            handle.remove()
        self.forget()


def _by_name(signature: inspect.Signature, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """A call's arguments by the names of the parameters, however they were passed."""
    arguments = dict(signature.bind(*args, **kwargs).arguments)
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            arguments |= arguments.pop(name, {})
    return arguments
