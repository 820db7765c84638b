"""Examples become tensors; the order of the batches is fixed by a generator."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch

from amad_bench.data.batch import IGNORED, Batch, TextMasks
from amad_bench.data.images.table import ImageTable
from amad_bench.data.placing import placed
from amad_bench.data.tasks.data import Split

WINDOW = 50  # batches; within a window, examples are sorted by length


def make_batch(split: Split, images: ImageTable, rows: np.ndarray, device: str | torch.device) -> Batch:
    """The examples `rows` (B,) of a split: `text_batch` and what the image table gives."""
    image_rows_B = np.asarray(split.image_rows_N[rows])
    return text_batch(split, rows, device).with_images(images.batch(image_rows_B, device))


def text_batch(
    split: Split,
    rows: np.ndarray,
    device: str | torch.device,
    answer_generator: np.random.Generator | None = None,
    own: slice = slice(None),
) -> Batch:
    """The examples `rows` (B,) of a split without their images; `own`: those of them that are wanted, with
    answers that are drawn, lengths and masks as all of them have.

    Lengths are the split's; of a split that is mostly padding, those of the batch's longest example. With an
    `answer_generator` the labels are those of `draw_targets`, and there are sample weights, too.
    """
    source_ids_BL, sample_weight_B = split.source_ids_NL[rows], None
    if answer_generator is None:
        target_ids_BT = split.target_ids_NL[rows]
    else:
        target_ids_BT, weight_B = draw_targets(split, rows, answer_generator)
        sample_weight_B = placed(torch.from_numpy(weight_B[own].copy()), device)
    if split.mostly_padding:
        source_ids_BL, target_ids_BT = (_trimmed(ids, split.pad) for ids in (source_ids_BL, target_ids_BT))
    masks = TextMasks(source_ids_BL != split.pad, target_ids_BT != split.pad)
    source_ids_BL, target_ids_BT = (ids[own].astype(np.int64) for ids in (source_ids_BL, target_ids_BT))
    target_ids_BT[~masks.target_BT[own]] = IGNORED
    input_ids_BL, attention_mask_BL, labels_BT = (
        placed(torch.from_numpy(array), device)
        for array in (source_ids_BL, masks.input_BL[own].astype(np.int64), target_ids_BT)
    )
    return Batch(
        {"input_ids": input_ids_BL, "attention_mask": attention_mask_BL}, labels_BT, sample_weight_B, masks
    )


def _trimmed(ids_BL: np.ndarray, pad: int) -> np.ndarray:
    return ids_BL[:, : np.count_nonzero(ids_BL != pad, axis=1).max()]


def draw_targets(
    split: Split, rows: np.ndarray, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Target ids (B, T) and weights (B,) float32 of VL-T5's VQA training (j-min/VL-T5, src/vqa_data.py).

    Of each question's answers one is drawn in proportion to its score, which is its weight. A question that
    has no such answer weighs 0. A split without scores keeps its targets, each with the weight 1.
    """
    target_ids_BT = np.array(split.target_ids_NL[rows])
    answers = split.answers
    if answers is None:
        return target_ids_BT, np.ones(len(rows), np.float32)
    weight_B = np.zeros(len(rows), np.float32)
    for b, row in enumerate(rows):
        first, last = answers.offsets_N1[row], answers.offsets_N1[row + 1]
        if first == last:
            continue
        scores = np.asarray(answers.scores[first:last], np.float64)
        drawn = first + generator.choice(last - first, p=scores / scores.sum())
        target_ids_BT[b], weight_B[b] = answers.ids_AL[answers.indices[drawn]], answers.scores[drawn]
    return target_ids_BT, weight_B


def training_order(
    split: Split, batch: int, steps: int, generator: np.random.Generator
) -> Iterator[np.ndarray]:
    """`steps` arrays of exactly `batch` rows: shuffled, and grouped by length where that saves padding.

    Every row comes once before any comes again, also across batches. ValueError when there is no row.
    """
    if split.mostly_padding:
        lengths_N = split.source_lengths_N + split.target_lengths_N
        return islice(_grouped_order(lengths_N, batch, generator), steps)
    return batch_order(len(split), batch, steps, generator)


def evaluation_order(split: Split, batch: int) -> Iterator[np.ndarray]:
    """Every row once, at most `batch` at a time: in order, or by length where that saves padding."""
    rows_N = np.arange(len(split))
    if split.mostly_padding:
        rows_N = np.argsort(split.source_lengths_N, kind="stable")
    for start in range(0, len(rows_N), batch):
        yield rows_N[start : start + batch]


class OrderState(NamedTuple):
    """All that what is to come of a BatchOrder depends on."""

    rest: np.ndarray
    generator: Mapping[str, Any]


class BatchOrder:
    """Permutations of 0..n-1, one after the other, cut into arrays of `batch` row numbers.

    rest: what is left of the permutations that were drawn.
    """

    def __init__(self, n: int, batch: int, generator: np.random.Generator) -> None:
        if n < 1:
            raise ValueError("an order of batches needs at least one example")
        self._n, self._batch, self._generator = n, batch, generator
        self.rest = np.empty(0, np.int64)

    def next(self) -> np.ndarray:
        """The next batch's rows."""
        while len(self.rest) < self._batch:
            self.rest = np.concatenate([self.rest, self._generator.permutation(self._n)])
        rows, self.rest = self.rest[: self._batch], self.rest[self._batch :]
        return rows

    @property
    def state(self) -> OrderState:
        """The order as it stands now, the generator included; it can be set."""
        return OrderState(self.rest, self._generator.bit_generator.state)

    @state.setter
    def state(self, state: OrderState) -> None:
        self.rest, self._generator.bit_generator.state = state


def batch_order(n: int, batch: int, steps: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """The `steps` batches of a BatchOrder."""
    order = BatchOrder(n, batch, generator)
    for _ in range(steps):
        yield order.next()


def _grouped_order(lengths_N: np.ndarray, batch: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """Each permutation is cut into windows of WINDOW batches; a window is sorted by length, cut into batches,
    and these are shuffled. What is left of a permutation shares a batch with the start of the next."""
    rest = np.empty(0, np.int64)
    while True:
        rows = generator.permutation(len(lengths_N))
        if len(rest):
            missing = batch - len(rest)
            rest, rows = np.concatenate([rest, rows[:missing]]), rows[missing:]
            if len(rest) < batch:
                continue
            yield rest
        whole = len(rows) // batch * batch
        for start in range(0, whole, WINDOW * batch):
            window = rows[start : min(start + WINDOW * batch, whole)]
            window = window[np.argsort(lengths_N[window], kind="stable")].reshape(-1, batch)
            yield from window[generator.permutation(len(window))]
        rest = rows[whole:]
