"""Some query rows of each map, drawn anew each time: `query_rows`.

Teacher and student give the same rows, of all heads, drawn among a sample's valid ones without replacement. A
mean over rows of something that a row decides alone keeps its expectation; `amad`'s kl, whose alignment is
one of whole maps, becomes a ratio estimate (docs/methods.md#query-rows-1). A sample that has no more valid
rows than are asked for gives all of them: its loss is the full one.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor, nn

from amad_bench.losses.base import LayerMap, LayerPair, MapLoss
from amad_bench.losses.entries import traced_entries
from amad_bench.losses.kernels.compared import Compared
from amad_bench.models.attention.trace import LayerTrace, Trace

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # constants of splitmix64 (Steele, Lea and Flood, OOPSLA 2014)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class SampledRows(MapLoss):
    """A `MapLoss` that may look at some query rows only.

    query_rows: of each sample, 0 = all. seed: what they are drawn from, with the site, the layers and the
    sample's number (`Trace.sample_numbers`), or else the count of calls, which the state dict holds.
    """

    def __init__(
        self,
        sites: Sequence[str] | None = None,
        layer_map: LayerMap = "last",
        seed: int = 0,
        *,
        query_rows: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(sites, layer_map, **options)
        self.rows = RowDraws(query_rows, seed) if query_rows else None

    def terms(self, teacher: Trace, student: Trace) -> tuple[list[Tensor], dict[str, Tensor]]:
        if self.rows is not None:
            self.rows.begin(student)
        return super().terms(teacher, student)

    def by_kernel(self, pair: LayerPair) -> Compared:
        return super().by_kernel(pair if self.rows is None else self.rows.of(pair))


class RowDraws(nn.Module):
    """Which rows are looked at. Equal on all devices; of no generator of torch's, so no dropout moves it."""

    def __init__(self, rows: int, seed: int) -> None:
        super().__init__()
        self._rows, self._seed, self._calls = rows, seed, 0
        self._numbers = np.zeros(0, dtype=np.uint64)

    def begin(self, student: Trace) -> None:
        """The samples whose rows are drawn next."""
        if student.sample_numbers is not None:
            self._numbers = student.sample_numbers.astype(np.uint64)
            return
        self._calls += 1
        samples_B = np.arange(len(student.labels_BL), dtype=np.uint64)
        with np.errstate(over="ignore"):
            self._numbers = _mixed(np.uint64(self._calls)) + samples_B

    def of(self, pair: LayerPair) -> LayerPair:
        """The pair with some rows of its maps."""
        batch, _, queries, keys = pair.student.shape_BHQK
        mask_B1QK = traced_entries(pair.teacher, pair.student)
        if self._rows >= queries:
            return pair
        device = pair.student.query_mask_BQ.device
        chances_BQ = torch.as_tensor(self._uniform(pair.key, queries)).to(device, non_blocking=True)
        if mask_B1QK is not None:  # others come last
            chances_BQ = chances_BQ + ~mask_B1QK.expand(batch, 1, queries, keys)[:, 0].any(-1)
        rows_BN = chances_BQ.topk(self._rows, dim=1, largest=False).indices.sort(1).values
        return pair._replace(teacher=_of_rows(pair.teacher, rows_BN), student=_of_rows(pair.student, rows_BN))

    def _uniform(self, key: str, queries: int) -> np.ndarray[Any, Any]:
        """(B, Q), float64 in [0, 1): of each sample and query another number."""
        with np.errstate(over="ignore"):
            start = _mixed(np.uint64(self._seed % 2**64) + np.uint64(crc32(key.encode())) * _GOLDEN)
            samples_B = _mixed(_mixed(self._numbers + start))
            numbers_BQ = _mixed(samples_B[:, None] + np.arange(queries, dtype=np.uint64) * _GOLDEN)
        return (numbers_BQ >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self._calls)

    def set_extra_state(self, state: Tensor) -> None:
        self._calls = int(state)


def _mixed(numbers: Any) -> Any:
    """splitmix64's output function."""
    with np.errstate(over="ignore"):
        numbers = numbers + _GOLDEN
        numbers = (numbers ^ (numbers >> np.uint64(30))) * _FIRST
        numbers = (numbers ^ (numbers >> np.uint64(27))) * _SECOND
    return numbers ^ (numbers >> np.uint64(31))


def _of_rows(layer: LayerTrace, rows_BN: Tensor) -> LayerTrace:
    """The layer's trace of these query rows of each sample."""
    batch, _, queries, _ = layer.shape_BHQK
    samples_B1 = torch.arange(batch, device=rows_BN.device)[:, None]

    def chosen(maps_BHQX: Tensor | None) -> Tensor | None:
        if maps_BHQX is None or maps_BHQX.shape[2] != queries:  # the same for all rows, or not recorded
            return maps_BHQX
        # by an index, whose backward pass is deterministic on CUDA
        return maps_BHQX.expand(batch, -1, -1, -1)[samples_B1, :, rows_BN].transpose(1, 2)

    query_BHQD = chosen(layer.query_BHQD)
    assert query_BHQD is not None
    return replace(
        layer,
        query_BHQD=query_BHQD,
        bias_BHQK=chosen(layer.bias_BHQK),
        mask_BHQK=chosen(layer.mask_BHQK),
        query_mask_BQ=layer.query_mask_BQ[samples_B1, rows_BN],
        given_probs_BHQK=chosen(layer.given_probs_BHQK),
    )
