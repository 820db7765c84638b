"""Tensors of a teacher's trace, chunk by chunk, as parts on disk: which array each becomes."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from amad_bench.models.attention.trace import LayerTrace, Trace
from amad_bench.training.stored_outputs import PartWriter

MAPS_AT_MOST = 4  # times the room of queries and keys: then maps are stored, which are quicker to read

EVERY_QUERY = "every_query"  # name of a number: whether the query mask is all True

Tensors = dict[str, Tensor | None]


def tensors_of(trace: Trace, part: str) -> tuple[Tensors, dict[str, float]]:
    """The tensors of a part by name, with a row per example or with one row for all; and its numbers."""
    if part == "logits":
        return {"logits": trace.logits_BLV}, {}
    site, number, kind = part.rsplit("-", 2)
    if kind == "hidden":
        return {"hidden": trace.hidden[site][int(number)]}, {}
    layer = trace.sites[site][int(number)]
    if kind == "tokens":
        return {"query_mask": layer.query_mask_BQ}, {EVERY_QUERY: float(layer.every_query)}
    if kind == "values":
        return {"value": layer.value_BJKD, "output_weight": layer.output_weight_HDd}, {}
    if kind == "maps" and _few_keys(layer):
        return {"probs": layer.probs_BHQK(), "mask": layer.mask_BHQK}, {}
    maps: Tensors = {"query": layer.query_BHQD, "key": layer.key_BJKD, "bias": layer.bias_BHQK}
    return maps | {"mask": layer.mask_BHQK}, {"scale": layer.scale}


def _few_keys(layer: LayerTrace) -> bool:
    """Whether maps take little more room than the queries and keys that they are made of."""
    queries, keys = layer.shape_BHQK[2:]
    return queries * keys <= MAPS_AT_MOST * (queries + keys) * layer.query_BHQD.shape[-1]


class OutputsWriter:
    """A part in the making, of the tensors that chunks of examples have; `finish` says what it is `of`."""

    def __init__(self, writer: PartWriter) -> None:
        self.writer = writer
        self.numbers: dict[str, float] = {}
        self._shared: dict[str, Tensor] = {}
        self._masks: list[tuple[int, Tensor | None]] = []  # with the examples of each chunk

    def add(self, tensors: Tensors, numbers: dict[str, float]) -> None:
        self.numbers = numbers
        examples = next(len(tensor) for tensor in tensors.values() if tensor is not None)
        for name, tensor in tensors.items():
            if name == "mask":
                self._masks.append((examples, None if tensor is None else _narrow(tensor)))
            elif tensor is None:
                continue
            elif len(tensor) == examples and name != "output_weight":
                self.writer.add(name, _array(tensor))
            elif not torch.equal(self._shared.setdefault(name, tensor), tensor):
                raise RuntimeError(f"{self.writer.folder}: {name} was alike for all examples, and now is not")

    def finish(self, of: Mapping[str, Any]) -> None:
        for name, tensor in self._shared.items():
            self.writer.share(name, _array(tensor))
        self._finish_masks()
        self.writer.finish(of, self.numbers)

    def _finish_masks(self) -> None:
        """transformers leaves out a mask that masks nothing: in the end all examples have one, or none has.

        One that all share is stored once.
        """
        known = [mask for _, mask in self._masks if mask is not None]
        if not known:
            return
        alike = all(torch.equal(mask, known[0]) for mask in known)
        if len(known[0]) == 1 and alike and len(known) == len(self._masks):
            self.writer.share("mask", _array(known[0]))
            return
        rows = max(mask.shape[2] for mask in known)
        for examples, mask in self._masks:
            full = known[0].new_ones(1) if mask is None else mask
            self.writer.add("mask", _array(full.expand(examples, 1, rows, known[0].shape[3])))


def _narrow(mask_BHQK: Tensor) -> Tensor:
    """The same mask with one row where all query rows are alike, as those of padding are."""
    first_BH1K = mask_BHQK[:, :, :1]
    return first_BH1K.clone() if bool((mask_BHQK == first_BH1K).all()) else mask_BHQK


def _array(tensor: Tensor) -> np.ndarray:
    """In float32, or as it is where it is a mask."""
    return (tensor.float() if tensor.is_floating_point() else tensor).cpu().numpy()
