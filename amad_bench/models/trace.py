"""Capture of attention without materialised maps: what a distillation loss may look at.

A `record`ed model keeps its SDPA forward; hooks keep the projected queries, keys, values, bias and mask.
Probabilities are computed on demand, in float32 and before dropout: rows sum to 1, masked keys are exactly 0.
`output_attentions` is not used: under SDPA it returns an empty tuple without an exception.

Axes: B batch, H heads, Q query tokens, K key tokens, D head size, d width, L target tokens, V vocabulary.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

# Module names of T5 (and VL-T5) and BLIP; the group is the layer's number.
SITE_PATTERNS: tuple[tuple[str, str], ...] = (
    ("encoder.self", r"encoder\.block\.(\d+)\.layer\.0\.SelfAttention$"),
    ("decoder.self", r"decoder\.block\.(\d+)\.layer\.0\.SelfAttention$"),
    ("decoder.cross", r"decoder\.block\.(\d+)\.layer\.1\.EncDecAttention$"),
    ("vision.self", r"vision_model\.encoder\.layers\.(\d+)\.self_attn$"),
    ("text.self", r"text_encoder\.encoder\.layer\.(\d+)\.attention\.self$"),
    ("text.cross", r"text_encoder\.encoder\.layer\.(\d+)\.crossattention\.self$"),
    ("decoder.self", r"text_decoder\.bert\.encoder\.layer\.(\d+)\.attention\.self$"),
    ("decoder.cross", r"text_decoder\.bert\.encoder\.layer\.(\d+)\.crossattention\.self$"),
)


class AttentionDomainError(RuntimeError):
    """The forward pass recorded no attention where some was asked for; names the site and the layer."""


@dataclass
class LayerTrace:
    """One site, one layer; masks are bool with True = may be attended / a real token."""

    query_BHQD: Tensor
    key_BHKD: Tensor
    value_BHKD: Tensor
    scale: float
    bias_BHQK: Tensor | None
    mask_BHQK: Tensor | None
    query_mask_BQ: Tensor
    output_weight_HDd: Tensor | None

    def scores_BHQK(self) -> Tensor:
        """Pre-softmax scores in float32, under autocast too; masked cells -inf."""
        with torch.autocast(self.query_BHQD.device.type, enabled=False):
            scores_BHQK = self.query_BHQD.float() @ self.key_BHKD.float().transpose(-1, -2) * self.scale
        if self.bias_BHQK is not None:
            scores_BHQK = scores_BHQK + self.bias_BHQK.float()
        if self.mask_BHQK is not None:
            scores_BHQK = scores_BHQK.masked_fill(~self.mask_BHQK, float("-inf"))
        return scores_BHQK

    def probs_BHQK(self) -> Tensor:
        """Pre-dropout probabilities, float32: rows sum to 1; masked cells and rows without a key are 0."""
        scores_BHQK = self.scores_BHQK()
        if self.mask_BHQK is None:
            return scores_BHQK.softmax(-1)
        # A row that may attend to nothing would be NaN, its gradient too: give it finite scores, then 0.
        empty_BHQ1 = ~self.mask_BHQK.any(-1, keepdim=True)
        probs_BHQK = scores_BHQK.masked_fill(empty_BHQ1, 0.0).softmax(-1)
        return probs_BHQK.masked_fill(~self.mask_BHQK, 0.0)


@dataclass
class Trace:
    """A forward pass as a loss sees it: logits and labels aligned (-100 = ignored), attention by site."""

    logits_BLV: Tensor
    labels_BL: Tensor
    sites: dict[str, list[LayerTrace]] = field(default_factory=dict)
    hidden: dict[str, list[Tensor]] = field(default_factory=dict)


class Recorder:
    """Collects what the hooks of `record` saw in the last forward pass."""

    def __init__(self, model: nn.Module, sites: Sequence[str]):
        self.requested = tuple(sites)
        self.modules = _find_sites(model)
        for site in self.requested:
            if site not in self.modules:
                raise ValueError(
                    f"{type(model).__name__} has no attention site '{site}'; "
                    f"it has: {', '.join(sorted(self.modules))}"
                )
        # A cross-attention's queries are masked like the same layer's self-attention: watch that one too.
        companions = [site.replace(".cross", ".self") for site in self.requested]
        self.watched = tuple(dict.fromkeys([*self.requested, *companions]))
        self._layers: dict[tuple[str, int], LayerTrace] = {}
        self._handles: list[Any] = []
        for site in self.watched:
            for layer, (name, module) in enumerate(self.modules[site]):
                parent = model.get_submodule(name.rsplit(".", 1)[0])
                self._handles.extend(self._hook(site, layer, module, parent))

    def _hook(self, site: str, layer: int, module: nn.Module, parent: nn.Module) -> list[Any]:
        projected: dict[str, Tensor] = {}
        kind = _kind(module)
        handles = [
            getattr(module, name).register_forward_hook(_keep(projected, name)) for name in kind.projections
        ]

        def after(module: nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> None:
            trace = kind.read(module, parent, projected, kwargs, output)
            projected.clear()
            self._layers[site, layer] = trace

        return [*handles, module.register_forward_hook(after, with_kwargs=True)]

    def trace(self, output: Any, labels: Tensor) -> Trace:
        """The recorded pass as a `Trace`; `output` has `.logits` (B, L, V) aligned with `labels` (B, L).

        Raises AttentionDomainError when a layer of a requested site was not reached by the forward pass.
        """
        sites: dict[str, list[LayerTrace]] = {}
        for site in self.requested:
            sites[site] = [
                self._with_query_mask(site, layer, labels) for layer in range(len(self.modules[site]))
            ]
        self._layers.clear()
        return Trace(logits_BLV=output.logits, labels_BL=labels, sites=sites)

    def _with_query_mask(self, site: str, layer: int, labels_BL: Tensor) -> LayerTrace:
        companion = site.replace(".cross", ".self")
        for needed in (site, companion):
            if (needed, layer) not in self._layers:
                raise AttentionDomainError(
                    f"site {needed}, layer {layer}: the forward pass recorded no attention"
                )
        trace = self._layers[site, layer]
        query_mask_BQ = self._layers[companion, layer].query_mask_BQ
        if site.startswith("decoder."):
            # labels stand at the last positions; a prompt before them (BLIP captioning) is real text
            prompt = query_mask_BQ.shape[1] - labels_BL.shape[1]
            query_mask_BQ = query_mask_BQ & pad(labels_BL != -100, (prompt, 0), value=True)
        trace.query_mask_BQ = query_mask_BQ
        return trace

    def close(self) -> None:
        """Removes every hook and forgets what was recorded."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        self._layers.clear()


@contextmanager
def record(model: nn.Module, sites: Sequence[str] = ("encoder.self",)) -> Iterator[Recorder]:
    """Records attention at `sites` while the context is open; the forward pass itself is unchanged.

    Works for VLT5, our BLIP models and plain Hugging Face T5 and BLIP. ValueError: a site the model lacks.
    """
    recorder = Recorder(model, sites)
    try:
        yield recorder
    finally:
        recorder.close()


def _find_sites(model: nn.Module) -> dict[str, list[tuple[str, nn.Module]]]:
    found: dict[str, list[tuple[int, str, nn.Module]]] = {}
    for name, module in model.named_modules():
        for site, pattern in SITE_PATTERNS:
            match = re.search(pattern, name)
            if match:
                found.setdefault(site, []).append((int(match.group(1)), name, module))
    return {site: [(name, module) for _, name, module in sorted(layers)] for site, layers in found.items()}


def _keep(store: dict[str, Tensor], name: str):
    def hook(module: nn.Module, args: tuple, output: Tensor) -> None:
        store[name] = output

    return hook


class _T5Attention:
    """transformers T5Attention: no scaling, an additive position bias."""

    projections = ("q", "k", "v")

    @staticmethod
    def read(
        module: Any, parent: Any, projected: dict[str, Tensor], kwargs: dict[str, Any], output: Any
    ) -> LayerTrace:
        heads, head_size = module.n_heads, module.key_value_proj_dim
        query, key, value = (_split(projected[name], heads) for name in _T5Attention.projections)
        mask = _as_bool(kwargs.get("mask"))
        if mask is None and getattr(module, "is_causal", False):
            # transformers leaves the causal mask to the kernel when nothing else is masked
            queries, keys = query.shape[-2], key.shape[-2]
            mask = torch.ones(1, 1, queries, keys, dtype=torch.bool, device=query.device).tril()
        weight_HDd = module.o.weight.view(-1, heads, head_size).permute(1, 2, 0)
        return LayerTrace(query, key, value, 1.0, output[1], mask, _query_mask(mask, query), weight_HDd)


class _BlipVisionAttention:
    """transformers BlipAttention (ViT): one fused projection, no mask."""

    projections = ("qkv",)

    @staticmethod
    def read(
        module: Any, parent: Any, projected: dict[str, Tensor], kwargs: dict[str, Any], output: Any
    ) -> LayerTrace:
        query, key, value = (_split(part, module.num_heads) for part in projected["qkv"].chunk(3, dim=-1))
        weight_HDd = module.projection.weight.view(-1, module.num_heads, module.head_dim).permute(1, 2, 0)
        return LayerTrace(query, key, value, module.scale, None, None, _query_mask(None, query), weight_HDd)


class _BlipTextAttention:
    """transformers BlipTextSelfAttention (BERT), as self- or cross-attention."""

    projections = ("query", "key", "value")

    @staticmethod
    def read(
        module: Any, parent: Any, projected: dict[str, Tensor], kwargs: dict[str, Any], output: Any
    ) -> LayerTrace:
        heads, head_size = module.num_attention_heads, module.attention_head_size
        query, key, value = (_split(projected[name], heads) for name in _BlipTextAttention.projections)
        mask = _as_bool(kwargs.get("attention_mask"))
        weight_HDd = parent.output.dense.weight.view(-1, heads, head_size).permute(1, 2, 0)
        return LayerTrace(
            query, key, value, head_size**-0.5, None, mask, _query_mask(mask, query), weight_HDd
        )


def _kind(module: nn.Module) -> Any:
    kinds = {"q": _T5Attention, "qkv": _BlipVisionAttention, "query": _BlipTextAttention}
    for name, kind in kinds.items():
        if isinstance(getattr(module, name, None), nn.Linear):
            return kind
    raise AttentionDomainError(
        f"{type(module).__name__}: unknown attention module, its projections were not found"
    )


def _split(projected_BLn: Tensor, heads: int) -> Tensor:
    return projected_BLn.unflatten(-1, (heads, -1)).transpose(1, 2)


def _as_bool(mask: Tensor | None) -> Tensor | None:
    """An additive mask (0 = may be attended, very negative = may not) or a bool one, as bool."""
    if mask is None or mask.dtype == torch.bool:
        return mask
    return mask > torch.finfo(mask.dtype).min / 2


def _query_mask(mask_BHQK: Tensor | None, query_BHQD: Tensor) -> Tensor:
    """Queries of a self-attention that are real tokens: their own key may be attended (the diagonal)."""
    batch, _, queries, _ = query_BHQD.shape
    if mask_BHQK is None or mask_BHQK.shape[-1] != queries:
        return query_BHQD.new_ones(batch, queries, dtype=torch.bool)
    cells_BQK = mask_BHQK[:, 0].expand(batch, queries, queries)
    return cells_BQK.diagonal(dim1=-2, dim2=-1)
