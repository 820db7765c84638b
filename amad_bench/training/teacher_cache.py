"""A teacher's outputs on the training examples, computed once: it is frozen and sees each of them often."""

import math
from collections.abc import Sequence
from dataclasses import fields, replace

import numpy as np
import torch
from torch import Tensor, nn

from amad_bench.data.batch import Batch
from amad_bench.data.tasks.data import Split, TaskData
from amad_bench.data.tasks.loader import batches
from amad_bench.models.attention.recorder import record
from amad_bench.models.attention.trace import LayerTrace, Trace
from amad_bench.training.distill import Objective

MEMORY_LIMIT = 2 * 2**30  # bytes; beyond it the teacher runs again for every batch


class TeacherOutputs:
    """The teacher's Trace of training examples by `trace(rows, batch)`: from memory where all fit, else by
    running the teacher on their batch. It records what `objective` reads. `batch`: that of the training, for
    what is computed ahead."""

    def __init__(
        self, model: nn.Module, data: TaskData, objective: Objective, device: torch.device, batch: int
    ):
        self.model, self.objective, self.device = model.eval(), objective, device
        self.stored: Trace | None = None
        split = data.train
        # Stored outputs fit neither batches with lengths of their own nor an answer drawn anew each time.
        if split.mostly_padding or not _one_target_each(split):
            return
        # Chunks of nearly equal size: none has one example only, whose tensors look like those all share.
        count = max(1, min(math.ceil(len(split) / batch), len(split) // 2))
        chunks = np.array_split(np.arange(len(split)), count)
        # With one target each, whatever is drawn is that one.
        loader = batches(split, data.images, chunks, device, answer_generator=np.random.default_rng(0))
        traces = (self._forward(batch) for _, batch in loader)
        first = next(traces)
        if _bytes(first) / len(first.labels_BL) * len(split) <= MEMORY_LIMIT:
            self.stored = _concatenate([first, *traces])

    def trace(self, rows: np.ndarray, batch: Batch) -> Trace:
        if self.stored is None:
            return self._forward(batch)
        index = torch.as_tensor(rows, device=self.device)
        return _map(self.stored, lambda tensor: tensor[index])

    @torch.no_grad()
    def _forward(self, batch: Batch) -> Trace:
        with record(self.model, self.objective.sites, self.objective.needs_hidden) as recorder:
            return recorder.trace(self.model(**batch.inputs, labels=batch.labels_BL), batch.labels_BL)


def _one_target_each(split: Split) -> bool:
    return split.answers is None or bool((np.diff(split.answers.offsets_N1) <= 1).all())


def _map(trace: Trace, function) -> Trace:
    """Applies `function` to each tensor with one row per example; what all examples share stays."""
    examples = len(trace.labels_BL)

    def apply(tensor: Tensor) -> Tensor:
        return function(tensor) if tensor.shape[0] == examples else tensor

    def layer(old: LayerTrace) -> LayerTrace:
        named = {name: getattr(old, name) for name in _PER_EXAMPLE}
        return replace(old, **{name: apply(value) for name, value in named.items() if value is not None})

    sites = {site: [layer(old) for old in layers] for site, layers in trace.sites.items()}
    hidden = {stack: [apply(layer_BLd) for layer_BLd in layers] for stack, layers in trace.hidden.items()}
    return Trace(apply(trace.logits_BLV), apply(trace.labels_BL), sites, hidden)


_PER_EXAMPLE = tuple(f.name for f in fields(LayerTrace) if f.name not in ("scale", "output_weight_HDd"))


def _concatenate(traces: list[Trace]) -> Trace:
    for site in traces[0].sites:
        for layers in zip(*(trace.sites[site] for trace in traces), strict=True):
            _complete_masks(layers)
    columns = [_tensors(trace) for trace in traces]
    joined = iter([torch.cat(parts) for parts in zip(*columns, strict=True)])
    return _map(traces[0], lambda _: next(joined))


def _complete_masks(layers: Sequence[LayerTrace]) -> None:
    """transformers leaves out a mask that masks nothing: here all chunks have one, or none has."""
    known = next((layer.mask_BHQK for layer in layers if layer.mask_BHQK is not None), None)
    if known is not None:
        for layer in layers:
            if layer.mask_BHQK is None:
                layer.mask_BHQK = known.new_ones(len(layer.query_mask_BQ), *known.shape[1:])


def _tensors(trace: Trace) -> list[Tensor]:
    found: list[Tensor] = []
    _map(trace, lambda tensor: found.append(tensor) or tensor)
    return found


def _bytes(trace: Trace) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in _tensors(trace))
