"""Matrix products between queries, keys and scores of some samples, with float32 results.

Keys are shared among the queries of their group, not copied. Half precision is multiplied as it is and summed
in float32, which CUDA's products can give out as such: scores are never rounded to half precision.
"""

import torch
from torch import Tensor

from amad_bench.losses.kernels.by_samples import of_samples
from amad_bench.models.attention.trace import LayerTrace, by_key_head


def products_of(layer: LayerTrace, samples: slice) -> Tensor:
    """<query, key> (b, H, Q, K) of these samples, contiguous, neither scaled nor biased nor masked."""
    query_BHQD, key_BJKD = layer.query_BHQD[samples], layer.key_BJKD[samples]
    batch, heads, queries, _ = query_BHQD.shape
    products_BJnK = _products(by_key_head(query_BHQD, key_BJKD.shape[1]), key_BJKD.mT)
    return products_BJnK.view(batch, heads, queries, key_BJKD.shape[2])


class Gradients:
    """Gradients of a layer's queries, keys and, where asked for, bias: written part by part."""

    def __init__(self, layer: LayerTrace) -> None:
        self.layer = layer
        self.query_BHQD = torch.empty_like(layer.query_BHQD)
        self.key_BJKD = torch.empty_like(layer.key_BJKD)
        self.bias_BHQK = None
        if layer.bias_BHQK is not None and layer.bias_BHQK.requires_grad:
            self.bias_BHQK = torch.zeros_like(layer.bias_BHQK, dtype=torch.float32)

    def write(self, samples: slice, of_scores_BHQK: Tensor) -> None:
        query_BHQD, key_BJKD = self.layer.query_BHQD[samples], self.layer.key_BJKD[samples]
        of_scores_BJnK = by_key_head(of_scores_BHQK, key_BJKD.shape[1])
        of_query_BJnD = _products(of_scores_BJnK, key_BJKD) * self.layer.scale
        of_key_BJKD = (
            _products(of_scores_BJnK.mT, by_key_head(query_BHQD, key_BJKD.shape[1])) * self.layer.scale
        )
        self.query_BHQD[samples] = of_query_BJnD.view(query_BHQD.shape)
        self.key_BJKD[samples] = of_key_BJKD
        if self.bias_BHQK is not None:
            share = of_samples(self.bias_BHQK, samples)
            share += of_scores_BHQK.sum_to_size(share.shape)

    def tensors(self) -> list[Tensor]:
        if self.bias_BHQK is None or self.layer.bias_BHQK is None:
            return [self.query_BHQD, self.key_BJKD]
        return [self.query_BHQD, self.key_BJKD, self.bias_BHQK.to(self.layer.bias_BHQK.dtype)]


def _products(left: Tensor, right: Tensor) -> Tensor:
    if left.is_cuda and left.dtype == right.dtype and left.dtype in (torch.bfloat16, torch.float16):
        product = torch.bmm(left.flatten(0, 1), right.flatten(0, 1), out_dtype=torch.float32)
        return product.view(*left.shape[:2], *product.shape[1:])
    return left.float() @ right.float()
