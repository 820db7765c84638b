"""Maps, masks and traces for the tests of losses."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from amad_bench.models.attention.trace import LayerTrace, Trace

SHAPES = {  # B, H, G, Q, K
    "one query": (2, 3, 2, 1, 7),
    "H < G": (2, 2, 5, 3, 4),
    "H = G, square": (3, 4, 4, 5, 5),
    "H = G, Q > K": (2, 3, 3, 6, 2),
}
MASKS = ("none", "query", "key", "causal", "all", "empty sample")
GARBAGE = (math.inf, -math.inf, math.nan, 1e30)


@dataclass
class Case:
    teacher_BHQK: Tensor
    student_BGQK: Tensor
    masks: dict[str, Any]  # tensors, as the loss functions take them
    valid_BQK: Tensor  # as the oracles take them


def masks_for(kind: str, batch: int, queries: int, keys: int) -> dict[str, Tensor]:
    masks = {}
    if kind in ("query", "all", "empty sample"):
        masks["query_mask_BQ"] = torch.ones(batch, queries, dtype=torch.bool)
        masks["query_mask_BQ"][1, queries // 2 :] = queries == 1
    if kind in ("key", "all"):
        masks["key_mask_BK"] = torch.ones(batch, keys, dtype=torch.bool)
        masks["key_mask_BK"][0, keys // 2 :] = False
    if kind in ("causal", "all"):
        masks["cell_mask_QK"] = torch.ones(queries, keys, dtype=torch.bool).tril()
    if kind == "empty sample":
        masks["query_mask_BQ"][0] = False
    return masks


def valid_entries(masks: dict[str, Tensor], batch: int, queries: int, keys: int) -> Tensor:
    """Written out entry by entry: the package combines masks by broadcasting."""
    valid_BQK = torch.zeros(batch, queries, keys, dtype=torch.bool)
    for b in range(batch):
        for q in range(queries):
            for k in range(keys):
                valid_BQK[b, q, k] = (
                    ("query_mask_BQ" not in masks or masks["query_mask_BQ"][b, q])
                    and ("key_mask_BK" not in masks or masks["key_mask_BK"][b, k])
                    and ("cell_mask_QK" not in masks or masks["cell_mask_QK"][q, k])
                )
    return valid_BQK


def random_maps(heads: int, valid_BQK: Tensor, generator: torch.Generator, sharpness: float = 2.0) -> Tensor:
    """Distributions over the valid keys of each valid row, float64; garbage in every other entry."""
    batch, queries, keys = valid_BQK.shape
    valid = valid_BQK[:, None].expand(batch, heads, queries, keys)
    scores = sharpness * torch.randn(batch, heads, queries, keys, generator=generator, dtype=torch.float64)
    maps = scores.masked_fill(~valid, -1e300).softmax(-1)
    garbage = torch.tensor(GARBAGE, dtype=torch.float64).repeat(math.ceil(maps.numel() / len(GARBAGE)))
    return torch.where(valid, maps, garbage[: maps.numel()].view_as(maps))


def make_case(shape: str = "one query", mask: str = "none", seed: int = 0, sharpness: float = 2.0) -> Case:
    batch, teacher_heads, student_heads, queries, keys = SHAPES[shape]
    masks = masks_for(mask, batch, queries, keys)
    valid_BQK = valid_entries(masks, batch, queries, keys)
    generator = torch.Generator().manual_seed(seed)
    teacher = random_maps(teacher_heads, valid_BQK, generator, sharpness)
    student = random_maps(student_heads, valid_BQK, generator, sharpness)
    return Case(teacher, student, masks, valid_BQK)


def value_and_gradients(
    function, first: Tensor, second: Tensor, *args, scale: float = 1.0, **options
) -> tuple[Tensor, Tensor, Tensor]:
    """The value, and the gradients of scale * value with respect to both tensors."""
    first, second = first.clone().requires_grad_(), second.clone().requires_grad_()
    value = function(first, second, *args, **options)
    (scale * value).backward()
    gradients = [torch.zeros_like(x) if x.grad is None else x.grad for x in (first, second)]
    return value.detach(), gradients[0], gradients[1]


def layer_trace(
    heads: int,
    *,
    batch: int = 2,
    queries: int = 5,
    keys: int | None = None,
    mask_BHQK: Tensor | None = None,
    query_mask_BQ: Tensor | None = None,
    seed: int = 0,
    gradient: bool = True,
) -> LayerTrace:
    generator = torch.Generator().manual_seed(1000 * seed + heads)
    keys = queries if keys is None else keys
    query, key, value = (
        torch.randn(batch, heads, n, 4, generator=generator).requires_grad_(gradient)
        for n in (queries, keys, keys)
    )
    if query_mask_BQ is None:
        query_mask_BQ = torch.ones(batch, queries, dtype=torch.bool)
    weight = torch.randn(heads, 4, 6, generator=generator)
    return LayerTrace(query, key, value, 0.5, None, mask_BHQK, query_mask_BQ, weight)


def trace(sites: dict[str, list[LayerTrace]], vocabulary: int = 7, seed: int = 0) -> Trace:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 3, vocabulary, generator=generator).requires_grad_()
    hidden = {}
    for site, layers in sites.items():
        shapes = [(*layer.query_mask_BQ.shape, 3 * layer.query_BHQD.shape[1]) for layer in layers]
        states = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]
        hidden[site.partition(".")[0]] = states
    labels = torch.tensor([[1, 2, -100], [3, -100, -100]])
    return Trace(logits_BLV=logits, labels_BL=labels, sites=sites, hidden=hidden)
