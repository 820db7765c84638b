"""Regions of images in arrays: what crops of boxes and kept features have in common."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from amad_bench.data.images.table import Arrays, ImageTable, rows_of


@dataclass(frozen=True)
class RegionArrays(ImageTable):
    """Features, boxes and which regions are there, of M images; memory maps, which all processes share."""

    ids: Sequence[str]
    features_MRF: np.ndarray
    boxes_MR4: np.ndarray
    region_mask_MR: np.ndarray

    @property
    def feature_size(self) -> int:
        return self.features_MRF.shape[2]

    def read(self, rows_B: np.ndarray) -> Arrays:
        return {
            "vis_feats": rows_of(self.features_MRF, rows_B),
            "boxes": rows_of(self.boxes_MR4, rows_B),
            "vis_attention_mask": rows_of(self.region_mask_MR, rows_B),
        }
