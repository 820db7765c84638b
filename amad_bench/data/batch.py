"""Batches as types: what a model takes of examples, apart from what only losses and logs read of them.

Axes: B batch, L tokens (inputs and labels each have their own number).
"""

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from torch import Tensor

IGNORED = -100  # the label of what is no target token


class TextMasks(NamedTuple):
    """Real tokens of a batch, known to the host: bool arrays with one row per example, True = real."""

    input_BL: np.ndarray
    target_BT: np.ndarray


@dataclass(frozen=True)
class Batch:
    """Examples of a task; every tensor has one row per example.

    inputs: keyword arguments of the model's forward pass but its labels: input_ids, attention_mask (B, L)
    int64, and what the image table gives. labels_BL: int64, IGNORED = padding. sample_weight_B: float32, what
    each example's labels count in the cross-entropy; None: all tokens count alike. masks: of the whole batch,
    also where this is a part of it; None: not known.
    """

    inputs: dict[str, Tensor]
    labels_BL: Tensor
    sample_weight_B: Tensor | None = None
    masks: TextMasks | None = None

    def __len__(self) -> int:
        return len(self.labels_BL)

    @property
    def target_BL(self) -> Tensor:
        """Bool, True = a target token."""
        return self.labels_BL != IGNORED

    @property
    def tensors(self) -> list[Tensor]:
        """All that it has."""
        weight_B = self.sample_weight_B
        return [*self.inputs.values(), self.labels_BL, *([] if weight_B is None else [weight_B])]

    @property
    def host_masks(self) -> TextMasks:
        """`masks`, or what the tensors say, for which a device has to be waited for."""
        if self.masks is not None:
            return self.masks
        return TextMasks(self.inputs["attention_mask"].bool().cpu().numpy(), self.target_BL.cpu().numpy())

    @property
    def target_tokens(self) -> int:
        """Their number in the whole batch."""
        return int(np.count_nonzero(self.host_masks.target_BT))

    @property
    def padding_share(self) -> float:
        """Share of the ids, input and target, that are padding; of the whole batch."""
        masks = self.host_masks
        kept = sum(int(np.count_nonzero(mask)) for mask in masks)
        return 1 - kept / sum(mask.size for mask in masks)

    def first(self, examples: int) -> "Batch":
        """The first examples, padded as here."""
        return self.part(slice(examples))

    def part(self, rows: slice) -> "Batch":
        """Some of the examples, padded as here; `masks` stay those of the whole batch."""
        weight_B = self.sample_weight_B
        return Batch(
            {name: tensor[rows] for name, tensor in self.inputs.items()},
            self.labels_BL[rows],
            None if weight_B is None else weight_B[rows],
            self.masks,
        )

    def with_images(self, images: dict[str, Tensor]) -> "Batch":
        """The same text with what an image table gives."""
        return replace(self, inputs=self.inputs | images)


@dataclass(frozen=True)
class PretrainingBatch:
    """Instances of pre-training tasks; every tensor has one row per instance.

    arguments: all that the pre-trainer's forward pass takes. It makes the loss itself, so that nothing else
    reads labels, which not every objective has (BLIP's of images and texts): they are arguments as others.
    host: those of them that were made in the CPU's memory, there.
    """

    arguments: dict[str, Tensor]
    host: dict[str, Tensor] = field(default_factory=dict[str, Tensor])

    def __len__(self) -> int:
        return len(self.arguments["input_ids"])

    @property
    def tensors(self) -> list[Tensor]:
        """All that it has."""
        return [*self.arguments.values()]

    def two_images_first(self) -> "PretrainingBatch":
        """The same instances, the first two of different images where a contrast asks for `image_ids`."""
        image_ids_B = self.arguments.get("image_ids")
        if image_ids_B is None:
            return self
        other = int(image_ids_B.ne(image_ids_B[0]).int().argmax())
        order = [0, other, *(row for row in range(1, len(self)) if row != other)]
        return PretrainingBatch(
            {name: tensor[order] for name, tensor in self.arguments.items()},
            {name: tensor[order] for name, tensor in self.host.items()},
        )
