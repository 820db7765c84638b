"""Capture of attention where it is computed: what a module hands to its attention function is kept.

transformers' modules call the function that their modeling file's `ALL_ATTENTION_FUNCTIONS` holds under the
config's implementation, or the file's own `eager_attention_forward`. While something is recorded, all of
these are functions that fill the slot of the module, if it has one, and call what was there. Modules of our
own fill theirs by a call of `capture`. Nothing is hooked: torch.compile sees plain assignments.
Axes: B batch, H heads, J <= H key heads, Q query tokens, K key tokens, D head size.
"""

import inspect
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from amad_bench.models.attention.trace import AttentionDomainError

INTERFACE = "ALL_ATTENTION_FUNCTIONS"
EAGER = "eager_attention_forward"
SLOT = "_amad_slot"  # a module's attribute while it is recorded

# Other arguments that change what a function computes. Of the second row transformers puts what they say into
# the mask, but for kernels that take them as they are.
ALTERING = ("softcap", "s_aux", "sinks")
FOR_KERNELS = ("sliding_window", "cu_seq_lens_q", "indices", "block_indices")

Place = tuple[MutableMapping[str, Any], str]  # where attention functions are looked up, and a name there


class Slot:
    """Keeps what a module handed to its attention function in the last forward pass.

    values: whether the value is kept. look: called after each call, but not where the pass is compiled.
    implementation: the function's name, "" for modules of our own. told: which of the arguments above it got.
    grad: whether gradients were recorded. again: whether there was more than one call.
    """

    def __init__(self, values: bool, look: Callable[[], None]) -> None:
        self.values, self.look = values, look
        self.inside = False  # the function that was called
        self.empty()

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()  # a copy of a recorded model is not recorded

    def empty(self) -> None:
        """Forgets the pass."""
        self.query: Tensor | None = None
        self.key: Tensor | None = None
        self.value: Tensor | None = None
        self.mask: Any = None
        self.bias: Tensor | None = None
        self.scale: float | None = None
        self.is_causal: bool | None = None
        self.implementation = ""
        self.told: tuple[str, ...] = ()
        self.grad = self.full = self.again = False


def capture(
    module: nn.Module,
    query_BHQD: Tensor,
    key_BJKD: Tensor,
    value_BJKD: Tensor,
    *,
    mask: Tensor | None = None,
    bias: Tensor | None = None,
    scale: float | None = None,
    is_causal: bool | None = False,
    implementation: str = "",
    told: tuple[str, ...] = (),
) -> None:
    """Called by a module where it computes attention; does nothing unless the module is recorded.

    mask: bool with True = may be attended, or additive, or None; bias: added to the scores; both (B, H, Q, K)
    or broadcast to it. scale: of the products, None for 1 / sqrt(D).
    """
    slot = getattr(module, SLOT, None)
    if slot is None or is_recomputed():
        return
    slot.query, slot.key, slot.mask, slot.bias = query_BHQD, key_BJKD, mask, bias
    slot.scale, slot.is_causal, slot.implementation, slot.told = scale, is_causal, implementation, told
    slot.grad = torch.is_grad_enabled()
    # No look at a tensor that is there already: torch.compile would watch it.
    slot.again = slot.again or slot.full
    slot.full = True
    if slot.values:
        slot.value = value_BJKD
    if not torch.compiler.is_compiling():
        slot.look()


def captures(module: nn.Module) -> bool:
    """Whether the module can be recorded by a slot: it asks the interface, or calls `capture` itself."""
    forward, names = _forward(module)
    return INTERFACE in names or ("capture" in names and forward.__globals__.get("capture") is capture)


def asks_interface(module: nn.Module) -> bool:
    """Whether the module asks transformers' attention interface for its function."""
    return INTERFACE in _forward(module)[1]


def _forward(module: nn.Module) -> tuple[Any, tuple[str, ...]]:
    """The module's forward function, without decorators, and the names in it."""
    forward = inspect.unwrap(type(module).forward)
    return forward, getattr(getattr(forward, "__code__", None), "co_names", ())


def is_recomputed() -> bool:
    """Whether this is a pass that a backward pass makes again, of a checkpointed layer."""
    return not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1


def check_gradient(module: nn.Module, recorded: bool, has_gradient: bool) -> None:
    """AttentionDomainError where a module that trains ran without the gradients that its pass has.

    recorded: whether gradients were on where it ran. has_gradient: whether the pass's output has one.
    """
    if has_gradient and not recorded and any(parameter.requires_grad for parameter in module.parameters()):
        raise AttentionDomainError(
            "it ran without gradients in a pass that has them, as under reentrant checkpointing: "
            "use use_reentrant=False"
        )


class Overrides:
    """Capturing functions in place of the attention functions that modules look up, until removed."""

    # by place: how many open ones need it, and what was there
    _open: ClassVar[dict[tuple[int, str], tuple[int, Any, Place]]] = {}

    def __init__(self, modules: Iterable[nn.Module]) -> None:
        self._places: dict[tuple[int, str], Place] = {}
        for module in modules:
            for mapping, name in _places(module):
                self._places[id(mapping), name] = mapping, name
        for key, place in self._places.items():
            count, original, _ = self._open.get(key, (0, None, place))
            if not count:
                mapping, name = place
                original = mapping[name]
                mapping[name] = _capturing(original, "eager" if name.endswith(EAGER) else name)
            self._open[key] = count + 1, original, place

    def remove(self) -> None:
        """Puts back what no other record needs."""
        for key in self._places:
            count, original, (mapping, name) = self._open.pop(key)
            if count > 1:
                self._open[key] = count - 1, original, (mapping, name)
                continue
            if not name.endswith(EAGER):
                del mapping[name]  # an interface's own entries hide transformers' common ones
            if mapping.get(name) is not original:
                mapping[name] = original
        self._places.clear()


def _places(module: nn.Module) -> Iterable[Place]:
    names: dict[str, Any] = _forward(module)[0].__globals__
    if INTERFACE not in names:
        return
    for name in names:
        if name.endswith(EAGER):  # Llama 4's vision has one of its own
            yield names, name
    for name in names[INTERFACE]:
        yield names[INTERFACE], name


def _capturing(original: Callable[..., Any], implementation: str) -> Callable[..., Any]:
    def capturing(
        module: nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Any, **kwargs: Any
    ) -> Any:
        slot = getattr(module, SLOT, None)
        if slot is None or slot.inside:  # a function may call another one of them
            return original(module, query, key, value, attention_mask, **kwargs)
        capture(
            module,
            query,
            key,
            value,
            mask=attention_mask,
            bias=kwargs.get("position_bias"),
            scale=kwargs.get("scaling"),
            is_causal=kwargs.get("is_causal"),
            implementation=implementation,
            told=tuple(name for name in ALTERING + FOR_KERNELS if kwargs.get(name) is not None),
        )
        slot.inside = True
        try:
            return original(module, query, key, value, attention_mask, **kwargs)
        finally:
            slot.inside = False

    return capturing
