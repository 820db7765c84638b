"""Recording of attention without materialised maps: all that a distillation loss may look at.

A `record`ed model keeps its SDPA forward; what its layers hand to the attention function is kept, see
`capture`, and of attention that is written by hand, as stock BLIP's, what `hooks` see. Probabilities are
computed on demand, in float32 and before dropout: rows sum to 1, masked keys are exactly 0.
`output_attentions` is not used: under SDPA it returns an empty tuple without an exception.

Axes: B batch, L tokens, Q query tokens, V vocabulary.
"""

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from amad_bench.models.attention.capture import Overrides, captures
from amad_bench.models.attention.hooks import HookedLayer
from amad_bench.models.attention.kinds import find_blocks
from amad_bench.models.attention.outputs import WatchedOutput
from amad_bench.models.attention.projections import output_projection
from amad_bench.models.attention.sites import Layer, find_layers
from amad_bench.models.attention.slots import SlotLayer
from amad_bench.models.attention.trace import AttentionDomainError, LayerTrace, Recorded, Trace
from amad_bench.runtime.versions import check_versions

Layers = Mapping[str, Collection[int]]  # by site
Place = tuple[str, int]  # site or stack, and layer
READS = frozenset({"probs", "scores", "queries", "keys", "values", "output_weight"})
PARTS = READS | {"hidden", "logits"}  # of a trace; logits are there without being recorded


class Recorder:
    """Collects what the recorded layers saw in the last forward pass; open until it is closed.

    UserError: an untested version of transformers.
    """

    def __init__(
        self,
        model: nn.Module,
        sites: Sequence[str] | None = None,
        layers: Layers | None = None,
        hidden: bool = False,
        reads: Collection[str] | None = None,
    ) -> None:
        if "transformers" in sys.modules:
            check_versions("transformers")
        if sites is None and layers is not None:
            sites = list(layers)
        attention = find_layers(model, sites)
        self._every_site = sites is None
        self._reads = READS if reads is None else frozenset(reads)
        if unknown := self._reads - PARTS:
            known = ", ".join(sorted(PARTS))
            raise ValueError(f"reads: {min(unknown)!r} is no part of a trace; those are: {known}")
        self._depth = {site: len(ones) for site, ones in attention.items()}
        # A cross-attention's queries are masked like those of its stack's self-attention.
        self._queries: dict[Place, Place | None] = {}
        self._wanted = {
            site: range(self._depth[site]) if layers is None else _layers(layers, site, self._depth[site])
            for site in (attention if sites is None else sites)
        }
        self._layers: dict[Place, SlotLayer | HookedLayer] = {}
        self._outputs: dict[Place, WatchedOutput] = {}
        self._opened: list[SlotLayer | HookedLayer | WatchedOutput] = []
        self._overrides: Overrides | None = None
        self._watch_attention(model, attention)
        if hidden or "hidden" in self._reads:
            self._watch_outputs(attention)
        self.open()

    def open(self) -> None:
        """Records from now on. One that was closed may be opened again, and has its layers at hand."""
        try:
            for one in dict.fromkeys([*self._layers.values(), *self._outputs.values()]):
                one.open()
                self._opened.append(one)
            slots = [one for one in self._opened if isinstance(one, SlotLayer)]
            self._overrides = Overrides(one.module for one in slots)
        except BaseException:
            self.close()
            raise

    def _watch_attention(self, model: nn.Module, attention: Mapping[str, Sequence[Layer]]) -> None:
        known = {one.module: one for found in find_blocks(model) for one in found.block.attention.values()}
        around = {child: parent for parent in model.modules() for child in parent.children()}
        made: dict[nn.Module, SlotLayer | HookedLayer] = {}  # a stack may have two names
        for site, layer in [(site, layer) for site, layers in self._wanted.items() for layer in layers]:
            at = attention[site][layer].queries
            self._queries[site, layer] = None if at is None else (site.replace(".cross", ".self"), at)
        for site, layer in [*self._queries, *filter(None, self._queries.values())]:
            module, where = attention[site][layer].module, f"site {site}, layer {layer}"
            if module not in made and captures(module):
                output = known[module].output if module in known else output_projection(module, around)
                made[module] = SlotLayer(module, where, site.endswith(".cross"), output, self._reads)
            elif module not in made:
                made[module] = HookedLayer(where, known[module])
            self._layers[site, layer] = made[module]

    def _watch_outputs(self, attention: Mapping[str, Sequence[Layer]]) -> None:
        made: dict[nn.Module, WatchedOutput] = {}
        for stack in dict.fromkeys(site.partition(".")[0] for site in attention):
            layers = attention.get(f"{stack}.self") or attention[f"{stack}.cross"]
            self._depth[stack] = len(layers)
            # those of the stack's sites, or all where it has none
            queries = filter(None, self._queries.values())
            own = {layer for site, layer in queries if site == f"{stack}.self"}
            for layer in sorted(own or range(len(layers))):
                block = layers[layer].block
                made[block] = made.get(block) or WatchedOutput(block)
                self._outputs[stack, layer] = made[block]

    def trace(self, output: Any, labels: Tensor | None = None) -> Trace:
        """The recorded pass as a `Trace`; `output` has `.logits` (B, L, V) aligned with `labels` (B, L).

        Without labels, as for an encoder alone, the trace has no target tokens: logits (0, 0, 0), labels
        (0, 0). `hidden` holds the stacks that the pass went through; `sites`, where `record` was given none,
        those that it went through.
        Raises AttentionDomainError when a layer of a requested site was not reached by the forward pass, was
        called twice, or computed what its trace would not show. The pass is forgotten, whatever happens.
        """
        try:
            return self._read(output, labels)
        finally:  # where memory runs out in here, too: the pass is made again
            self.forget()

    def _read(self, output: Any, labels: Tensor | None) -> Trace:
        wanted = dict(self._wanted)
        if self._every_site:
            reached = {site for site, layer in self._layers if self._layers[site, layer].seen}
            wanted = {site: layers for site, layers in wanted.items() if site in reached} or wanted
        has_gradient = _has_gradient(output)
        sites: dict[str, Recorded[LayerTrace]] = {}
        for site, layers in wanted.items():
            by_layer = {layer: self._with_query_mask((site, layer), labels, has_gradient) for layer in layers}
            sites[site] = Recorded(by_layer, self._depth[site])
        outputs: dict[str, dict[int, Tensor]] = {}
        for (stack, layer), watched in self._outputs.items():
            if watched.output is not None:
                outputs.setdefault(stack, {})[layer] = watched.output
        hidden = {stack: Recorded(by_layer, self._depth[stack]) for stack, by_layer in outputs.items()}
        if labels is None:
            return Trace(torch.empty(0, 0, 0), torch.empty(0, 0, dtype=torch.long), sites, hidden)
        return Trace(output.logits, labels, sites, hidden)

    def _with_query_mask(self, place: Place, labels_BL: Tensor | None, has_gradient: bool) -> LayerTrace:
        trace, other = self._trace(place, has_gradient), self._queries[place]
        if other is None:
            query_mask_BQ, every = torch.ones_like(trace.query_mask_BQ), True
        else:
            same = trace if other == place else self._trace(other, has_gradient)
            query_mask_BQ, every = same.query_mask_BQ, same.every_query
        if place[0].startswith("decoder.") and labels_BL is not None:
            # labels stand at the last positions; a prompt before them (BLIP captioning) is real text
            prompt = query_mask_BQ.shape[1] - labels_BL.shape[1]
            query_mask_BQ = query_mask_BQ & pad(labels_BL != -100, (prompt, 0), value=True)
            every = False
        trace.query_mask_BQ, trace.every_query = query_mask_BQ, every
        return trace

    def _trace(self, place: Place, has_gradient: bool) -> LayerTrace:
        if not self._layers[place].seen:
            raise AttentionDomainError(
                f"site {place[0]}, layer {place[1]}: the forward pass recorded no attention"
            )
        return self._layers[place].trace(has_gradient)

    def forget(self) -> None:
        """Lets go of what was recorded: of a pass that was broken off, or of which no trace is wanted."""
        for layer in self._layers.values():
            layer.forget()
        for watched in self._outputs.values():
            watched.output = None

    def close(self) -> None:
        """Leaves no trace on the model, and forgets what was recorded."""
        if self._overrides is not None:
            self._overrides.remove()
            self._overrides = None
        while self._opened:
            self._opened.pop().close()


@contextmanager
def record(
    model: nn.Module,
    sites: Sequence[str] | None = None,
    layers: Layers | None = None,
    hidden: bool = False,
    reads: Collection[str] | None = None,
) -> Iterator[Recorder]:
    """Records attention at `sites`, and the outputs of layers if `hidden`, while the context is open.

    sites: None for those of `layers`, or all that the model has, see `sites_of`. layers: of each site those
    that are recorded, counted from 0; of a stack's outputs those of its sites; None: all. reads: parts of a
    trace that will be looked at, of "probs", "scores", "queries", "keys", "values", "output_weight" and
    "hidden" (which is what `hidden` asks for); what is left out is not kept. None: all but "hidden".

    The forward pass itself is unchanged, and may be compiled, before or inside; one pass for each call of
    `trace` or `forget`. Works for VLT5 and our BLIP models, for stock BLIP, and for every model whose
    attention goes through transformers' interface, at sites that are known (docs/recorder.md). Afterwards
    nothing is left on the model.
    ValueError: a site, layer or part that there is not, a model that is being recorded.
    UserError: an untested version of transformers.
    """
    recorder = Recorder(model, sites, layers, hidden, reads)
    try:
        yield recorder
    finally:
        recorder.close()


def _layers(layers: Layers, site: str, depth: int) -> list[int]:
    """Those of a site, in order. ValueError where there are none, or one does not exist."""
    if site not in layers:
        raise ValueError(f"layers: none is given for site '{site}'")
    if outside := [layer for layer in layers[site] if not 0 <= layer < depth]:
        raise ValueError(f"layers: site '{site}' has {depth}, counted from 0, and none is {outside[0]}")
    return sorted(layers[site])


def _has_gradient(output: Any) -> bool:
    """Whether a tensor of a model's output has one."""
    parts = output.values() if isinstance(output, Mapping) else output
    parts = parts if isinstance(parts, Collection) and not isinstance(parts, Tensor) else [output]
    return any(isinstance(part, Tensor) and part.requires_grad for part in parts)
