"""Prepared examples and images of one task, as arrays."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np

from amad_bench.data.tokenizer import PAD, Tokenizer


@dataclass(frozen=True)
class Split:
    """N examples; ids are int64, padded with 0, all splits of a task to the same lengths.

    target_ids_NL end with EOS and have no BOS. image_rows_N are rows of the ImageTable, -1 = no image.
    references: what predictions are scored against (train: the target). Captions: the target is one of them.
    """

    example_ids: list[str]
    cluster_ids: list[str]
    source_ids_NL: np.ndarray
    target_ids_NL: np.ndarray
    image_rows_N: np.ndarray
    references: list[list[str]]

    def __len__(self) -> int:
        return len(self.example_ids)

    @cached_property
    def mostly_padding(self) -> bool:
        """Whether more than half of the ids are padding, as in real text with its few very long sentences."""
        ids = (self.source_ids_NL, self.target_ids_NL)
        return bool(sum(np.count_nonzero(part == PAD) for part in ids) > sum(part.size for part in ids) / 2)

    def first(self, n: int) -> "Split":
        """The first n examples (all of them where there are fewer)."""
        return Split(
            self.example_ids[:n],
            self.cluster_ids[:n],
            self.source_ids_NL[:n],
            self.target_ids_NL[:n],
            self.image_rows_N[:n],
            self.references[:n],
        )

    def with_image_rows(self, image_rows_N: np.ndarray) -> "Split":
        """The same examples with other images (the blind control)."""
        return replace(self, image_rows_N=image_rows_N)


@dataclass(frozen=True)
class ImageTable:
    """M images, uint8, possibly memory-mapped; ids are file names. M may be 0 (text without any photo).

    kind "regions": features_MRF (F = crop * crop * 3), boxes_MR4 in [0, 1] (x1, y1, x2, y2), region_mask_MR.
    kind "pixels": pixels_M3SS.
    """

    ids: list[str]
    kind: Literal["regions", "pixels"]
    features_MRF: np.ndarray | None = None
    boxes_MR4: np.ndarray | None = None
    region_mask_MR: np.ndarray | None = None
    pixels_M3SS: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class TaskData:
    """Everything a run trains on and is scored with."""

    train: Split
    validation: Split
    test: Split
    images: ImageTable
    tokenizer: Tokenizer
