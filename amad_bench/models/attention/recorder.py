"""Recording of attention without materialised maps: all that a distillation loss may look at.

A `record`ed model keeps its SDPA forward; what its layers hand to the attention function is kept, see
`capture`, and of attention that is written by hand, as stock BLIP's, what hooks see. Probabilities are
computed on demand, in float32 and before dropout: rows sum to 1, masked keys are exactly 0.
`output_attentions` is not used: under SDPA it returns an empty tuple without an exception.

Axes: B batch, L tokens, Q query tokens, V vocabulary.
"""

import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from amad_bench.models.attention.capture import SLOT, Overrides, Slot, captures
from amad_bench.models.attention.kinds import Attention, find_blocks
from amad_bench.models.attention.reading import layer_trace, read_slot
from amad_bench.models.attention.sites import find_layers, find_outputs
from amad_bench.models.attention.trace import AttentionDomainError, LayerTrace, Recorded, Trace
from amad_bench.runtime.versions import check_versions

Layers = Mapping[str, Collection[int]]  # by site
READS = frozenset({"probs", "scores", "queries", "keys", "values", "output_weight"})


class Recorder:
    """Collects what the recorded layers saw in the last forward pass."""

    def __init__(
        self,
        model: nn.Module,
        sites: Sequence[str] | None,
        layers: Layers | None,
        hidden: bool,
        reads: Collection[str] | None,
    ) -> None:
        attention = find_layers(model)
        self.requested = tuple(attention) if sites is None else tuple(sites)
        self._every_site = sites is None
        for site in self.requested:
            if site not in attention:
                raise ValueError(
                    f"{type(model).__name__} has no attention site '{site}'; "
                    f"it has: {', '.join(sorted(attention)) or 'none that is known'}"
                )
        if sites is None and not attention:
            raise ValueError(f"{type(model).__name__} has no attention site that is known")
        self._reads = READS if reads is None else frozenset(reads)
        outputs = find_outputs(model)
        self.depth = {site.partition(".")[0]: len(modules) for site, modules in attention.items()}
        self._captured: dict[tuple[str, int], nn.Module] = {}
        self._layers: dict[tuple[str, int], LayerTrace] = {}
        self._hidden: dict[tuple[str, int], Tensor] = {}
        self._handles: list[Any] = []
        self._wanted = {
            site: range(self._depth_of(site)) if layers is None else sorted(layers[site])
            for site in self.requested
        }
        self._known = {
            one.module: one for found in find_blocks(model) for one in found.block.attention.values()
        }
        # A cross-attention's queries are masked like the same layer's self-attention: watch that one too.
        for site in dict.fromkeys([*self.requested, *map(_companion, self.requested)]):
            # a companion's layers are those of the cross-attention, or its own
            for layer in sorted({i for one in (site, _cross(site)) for i in self._wanted.get(one, ())}):
                module = attention[site][layer]
                if captures(module):
                    self._captured[site, layer] = module
                else:
                    self._hook(site, layer, self._known[module])
        self._stacks = tuple(outputs) if hidden or "hidden" in self._reads else ()
        for stack in self._stacks:
            for layer in self._hidden_layers(stack):
                keep = _keep(self._hidden, (stack, layer))
                self._handles.append(outputs[stack][layer].register_forward_hook(keep))
        for place, module in self._captured.items():
            setattr(module, SLOT, Slot("values" in self._reads, partial(self._look, place)))
        self._overrides = Overrides(self._captured.values())

    def _hook(self, site: str, layer: int, attention: Attention) -> None:
        projected: dict[str, Tensor] = {}
        for name in attention.kind.projections:
            projection = attention.module.get_submodule(name)
            self._handles.append(projection.register_forward_hook(_keep(projected, name)))
        signature = inspect.signature(attention.module.forward)

        def after(_module: nn.Module, args: tuple, kwargs: dict[str, Any], _output: Any) -> None:
            arguments = _by_name(signature, args, kwargs)
            try:
                if len(projected) < len(attention.kind.projections):
                    raise AttentionDomainError("its keys come from a cache; record whole passes")
                trace = attention.trace(projected, arguments)
            except AttentionDomainError as error:
                raise _at(site, layer, error) from None
            finally:
                projected.clear()
            self._layers[site, layer] = trace

        self._handles.append(attention.module.register_forward_hook(after, with_kwargs=True))

    def _look(self, place: tuple[str, int]) -> None:
        """Says at once what a pass does that cannot be recorded, where nothing is compiled."""
        module = self._captured[place]
        try:
            read_slot(module, getattr(module, SLOT), _crosses(place[0]))
        except AttentionDomainError as error:
            raise _at(*place, error) from None

    def _seen(self, place: tuple[str, int]) -> bool:
        module = self._captured.get(place)
        return place in self._layers if module is None else getattr(module, SLOT).query is not None

    def _layer(self, site: str, layer: int) -> LayerTrace:
        if not self._seen((site, layer)):
            raise AttentionDomainError(f"site {site}, layer {layer}: the forward pass recorded no attention")
        module = self._captured.get((site, layer))
        if module is None:
            return self._layers[site, layer]
        known = self._known.get(module)
        try:
            return layer_trace(
                module, getattr(module, SLOT), _crosses(site), known and known.output, self._reads
            )
        except AttentionDomainError as error:
            raise _at(site, layer, error) from None

    def trace(self, output: Any, labels: Tensor | None = None) -> Trace:
        """The recorded pass as a `Trace`; `output` has `.logits` (B, L, V) aligned with `labels` (B, L).

        Without labels, as for an encoder alone, the trace has no target tokens: logits (0, 0, 0), labels
        (0, 0). `hidden` holds the stacks that the pass went through; `sites`, where `record` was given none,
        those of them.
        Raises AttentionDomainError when a layer of a requested site was not reached by the forward pass.
        """
        wanted = dict(self._wanted)
        if self._every_site:
            reached = {site: any(self._seen((site, layer)) for layer in wanted[site]) for site in wanted}
            if any(reached.values()):
                wanted = {site: layers for site, layers in wanted.items() if reached[site]}
        sites = {
            site: Recorded(
                {layer: self._with_query_mask(site, layer, labels) for layer in layers}, self._depth_of(site)
            )
            for site, layers in wanted.items()
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
        trace = self._layer(site, layer)
        companion = trace if _companion(site) == site else self._layer(_companion(site), layer)
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
        for module in self._captured.values():
            getattr(module, SLOT).empty()

    def close(self) -> None:
        """Leaves no trace on the model, and forgets what was recorded."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self.forget()
        self._overrides.remove()
        for module in self._captured.values():
            delattr(module, SLOT)
        self._captured.clear()


@contextmanager
def record(
    model: nn.Module,
    sites: Sequence[str] | None = None,
    layers: Layers | None = None,
    hidden: bool = False,
    reads: Collection[str] | None = None,
) -> Iterator[Recorder]:
    """Records attention at `sites`, and the outputs of layers if `hidden`, while the context is open.

    sites: None for all that the model has, see `sites_of`. layers: of each site those that are recorded,
    counted from 0; of a stack's outputs those of its sites; None: all. reads: parts of a trace that will be
    looked at, of "probs", "scores", "queries", "keys", "values", "output_weight" and "hidden" (which is what
    `hidden` asks for); what is left out is not kept. None: all but "hidden".
    The forward pass itself is unchanged. ValueError: a site the model lacks. UserError: an untested version
    of transformers.
    """
    if "transformers" in sys.modules:
        check_versions("transformers")
    recorder = Recorder(model, sites, layers, hidden, reads)
    try:
        yield recorder
    finally:
        recorder.close()


def sites_of(model: nn.Module) -> tuple[str, ...]:
    """The model's attention sites that `record` takes, such as "encoder.self"."""
    return tuple(find_layers(model))


def _at(site: str, layer: int, error: AttentionDomainError) -> AttentionDomainError:
    return AttentionDomainError(f"site {site}, layer {layer}: {error}")


def _crosses(site: str) -> bool:
    return site.endswith(".cross")


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
