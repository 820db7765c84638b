"""Recording of attention without materialised maps: all that a distillation loss may look at.

A `record`ed model keeps its SDPA forward; hooks keep the projected queries, keys, values, bias and mask.
Probabilities are computed on demand, in float32 and before dropout: rows sum to 1, masked keys are exactly 0.
`output_attentions` is not used: under SDPA it returns an empty tuple without an exception.

Axes: B batch, L tokens, Q query tokens, V vocabulary.
"""

import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from amad_bench.models.attention.kinds import Attention, find_stacks
from amad_bench.models.attention.trace import AttentionDomainError, LayerTrace, Recorded, Trace
from amad_bench.runtime.versions import check_versions

Layers = Mapping[str, Collection[int]]  # by site


class Recorder:
    """Collects what the hooks of `record` saw in the last forward pass."""

    def __init__(
        self, model: nn.Module, sites: Sequence[str], hidden: bool, layers: Layers | None = None
    ) -> None:
        stacks = find_stacks(model)
        attention = {
            f"{stack}.{name}": [block.attention[name] for block in blocks]
            for stack, blocks in stacks.items()
            for name in blocks[0].attention
        }
        self.requested = tuple(sites)
        for site in self.requested:
            if site not in attention:
                raise ValueError(
                    f"{type(model).__name__} has no attention site '{site}'; "
                    f"it has: {', '.join(sorted(attention)) or 'none that is known'}"
                )
        # A cross-attention's queries are masked like the same layer's self-attention: watch that one too.
        watched = dict.fromkeys([*self.requested, *map(_companion, self.requested)])
        self.depth = {stack: len(blocks) for stack, blocks in stacks.items()}
        self._layers: dict[tuple[str, int], LayerTrace] = {}
        self._hidden: dict[tuple[str, int], Tensor] = {}
        self._handles: list[Any] = []
        self._wanted = {
            site: range(self._depth_of(site)) if layers is None else sorted(layers[site])
            for site in self.requested
        }
        for site in watched:
            # a companion's layers are those of the cross-attention, or its own
            for layer in sorted({i for one in (site, _cross(site)) for i in self._wanted.get(one, ())}):
                self._hook(site, layer, attention[site][layer])
        self._stacks = tuple(stacks) if hidden else ()
        for stack in self._stacks:
            for layer in self._hidden_layers(stack):
                keep = _keep(self._hidden, (stack, layer))
                self._handles.append(stacks[stack][layer].module.register_forward_hook(keep))

    def _hook(self, site: str, layer: int, attention: Attention) -> None:
        projected: dict[str, Tensor] = {}
        for name in attention.kind.projections:
            projection = attention.module.get_submodule(name)
            self._handles.append(projection.register_forward_hook(_keep(projected, name)))
        signature = inspect.signature(attention.module.forward)

        def after(_module: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> None:
            arguments = _by_name(signature, args, kwargs)
            try:
                if len(projected) < len(attention.kind.projections):
                    raise AttentionDomainError("its keys come from a cache; record whole passes")
                trace = attention.trace(projected, arguments, output)
            except AttentionDomainError as error:
                raise AttentionDomainError(f"site {site}, layer {layer}: {error}") from None
            finally:
                projected.clear()
            self._layers[site, layer] = trace

        self._handles.append(attention.module.register_forward_hook(after, with_kwargs=True))

    def trace(self, output: Any, labels: Tensor | None = None) -> Trace:
        """The recorded pass as a `Trace`; `output` has `.logits` (B, L, V) aligned with `labels` (B, L).

        Without labels, as for an encoder alone, the trace has no target tokens: logits (0, 0, 0), labels
        (0, 0). `hidden` holds the stacks that the pass went through.
        Raises AttentionDomainError when a layer of a requested site was not reached by the forward pass.
        """
        sites = {
            site: Recorded(
                {layer: self._with_query_mask(site, layer, labels) for layer in wanted}, self._depth_of(site)
            )
            for site, wanted in self._wanted.items()
        }
        hidden: dict[str, Recorded[Tensor]] = {}
        for stack in self._stacks:
            known = [layer for layer in self._hidden_layers(stack) if (stack, layer) in self._hidden]
            if known:
                by_layer = {layer: self._hidden[stack, layer] for layer in known}
                hidden[stack] = Recorded(by_layer, self.depth[stack])
        self.forget()
        if labels is None:
            return Trace(torch.empty(0, 0, 0), torch.empty(0, 0, dtype=torch.long), sites, hidden)
        return Trace(output.logits, labels, sites, hidden)

    def _hidden_layers(self, stack: str) -> list[int]:
        """Layers of a stack whose outputs are kept: those of its sites, or all where it has none."""
        own = [layers for site, layers in self._wanted.items() if site.partition(".")[0] == stack]
        return sorted({layer for layers in own or [range(self.depth[stack])] for layer in layers})

    def _depth_of(self, site: str) -> int:
        return self.depth[site.partition(".")[0]]

    def _with_query_mask(self, site: str, layer: int, labels_BL: Tensor | None) -> LayerTrace:
        for needed in (site, _companion(site)):
            if (needed, layer) not in self._layers:
                raise AttentionDomainError(
                    f"site {needed}, layer {layer}: the forward pass recorded no attention"
                )
        trace = self._layers[site, layer]
        companion = self._layers[_companion(site), layer]
        query_mask_BQ, every = companion.query_mask_BQ, companion.every_query
        if site.startswith("decoder.") and labels_BL is not None:
            # labels stand at the last positions; a prompt before them (BLIP captioning) is real text
            prompt = query_mask_BQ.shape[1] - labels_BL.shape[1]
            query_mask_BQ = query_mask_BQ & pad(labels_BL != -100, (prompt, 0), value=True)
            every = False
        trace.query_mask_BQ, trace.every_query = query_mask_BQ, every
        return trace

    def forget(self) -> None:
        """Lets go of what was recorded, as of a pass that was broken off."""
        self._layers.clear()
        self._hidden.clear()

    def close(self) -> None:
        """Removes every hook and forgets what was recorded."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self.forget()


@contextmanager
def record(
    model: nn.Module,
    sites: Sequence[str] = ("encoder.self",),
    hidden: bool = False,
    layers: Layers | None = None,
) -> Iterator[Recorder]:
    """Records attention at `sites`, and the outputs of layers if `hidden`, while the context is open.

    layers: of each site those that are recorded, counted from 0; of a stack's outputs those of its sites.
    None: all. The forward pass itself is unchanged. Works for VLT5, our BLIP models and plain Hugging Face
    T5, BERT (sites "encoder.self", or with `is_decoder` "decoder.self" and "decoder.cross"), ViT
    ("vision.self") and BLIP. ValueError: a site the model lacks. UserError: an untested version of
    transformers.
    """
    if "transformers" in sys.modules:
        check_versions("transformers")
    recorder = Recorder(model, sites, hidden, layers)
    try:
        yield recorder
    finally:
        recorder.close()


def _companion(site: str) -> str:
    return site.replace(".cross", ".self")


def _cross(site: str) -> str:
    return site.replace(".self", ".cross")


def _keep(store: dict[Any, Tensor], key: Any) -> Callable[[nn.Module, tuple, Any], None]:
    def hook(_module: nn.Module, _args: tuple, output: Any) -> None:
        store[key] = output[0] if isinstance(output, tuple) else output

    return hook


def _by_name(signature: inspect.Signature, args: tuple, kwargs: dict[str, Any]) -> dict[str, Any]:
    """A call's arguments by the names of the parameters, however they were passed."""
    arguments = dict(signature.bind(*args, **kwargs).arguments)
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            arguments |= arguments.pop(name, {})
    return arguments
