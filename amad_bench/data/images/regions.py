"""Raw pixels of an image's boxes, each scaled to a square."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from amad_bench.data.images.boxes import Box, boxes_of_grid
from amad_bench.data.images.colours import scaled
from amad_bench.data.images.job import Job
from amad_bench.data.images.kind import ImageKind
from amad_bench.data.images.region_arrays import RegionArrays
from amad_bench.data.images.table import Arrays, mapped
from amad_bench.data.placing import placed
from amad_bench.plan.config.inputs import RegionInputs


class Regions(ImageKind[RegionInputs]):
    """Crops of boxes, as bytes in arrays."""

    def write(self, job: Job) -> dict[str, Any]:
        crop, regions = self.inputs.crop, self.inputs.max_regions
        features_MRF = job.new_array("features", np.uint8, regions, crop * crop * 3)
        boxes_MR4 = job.new_array("boxes", np.float32, regions, 4)
        mask_MR = job.new_array("region_mask", np.bool_, regions)
        boxes_of = boxes_of_grid(*self.inputs.grid) if self.inputs.grid else job.boxes(regions)
        for row, name in enumerate(job.names):
            image = job.photos.open_image(name)
            cropped = crop_regions(image, boxes_of(name, image), crop, regions)
            features_MRF[row], boxes_MR4[row], mask_MR[row] = cropped
        return {}

    @staticmethod
    def load(folder: Path, ids: Sequence[str], facts: dict[str, Any]) -> "PatchRegions":  # noqa: ARG004
        arrays = (mapped(folder / f"{name}.npy") for name in ("features", "boxes", "region_mask"))
        return PatchRegions(ids, *arrays)


class PatchRegions(RegionArrays):
    """Raw pixels of regions, resized to squares: uint8, F = crop * crop * 3, scaled from 0..255 to -1..1.

    vis_feats (B, R, F), boxes (B, R, 4) in [0, 1] (x1, y1, x2, y2), vis_attention_mask (B, R) int64.
    """

    def to_tensors(self, arrays: Arrays, device: str | torch.device) -> dict[str, Tensor]:
        there_BR = placed(torch.from_numpy(arrays["vis_attention_mask"]), device)
        return {
            "vis_feats": scaled(arrays["vis_feats"], there_BR[:, :, None], device),
            "boxes": placed(torch.from_numpy(arrays["boxes"]), device),
            "vis_attention_mask": there_BR.long(),
        }


def crop_regions(
    image: Image.Image, boxes: list[Box], crop: int, max_regions: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features (R, crop * crop * 3) uint8, boxes (R, 4) in [0, 1], mask (R,) bool; R = max_regions."""
    features_RF = np.zeros((max_regions, crop * crop * 3), np.uint8)
    boxes_R4 = np.zeros((max_regions, 4), np.float32)
    mask_R = np.arange(max_regions) < len(boxes)
    for row, box in enumerate(boxes):
        patch = image.resize((crop, crop), Image.Resampling.BILINEAR, box=box)
        features_RF[row] = np.asarray(patch).reshape(-1)
        boxes_R4[row] = np.array(box) / (image.width, image.height, image.width, image.height)
    return features_RF, boxes_R4, mask_R
