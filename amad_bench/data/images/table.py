"""The images of a task, by row: arrays on disk, photos decoded when asked for, or files of features."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from amad_bench.data.images.features import FeatureFiles, feature_key
from amad_bench.data.images.photos import Photos
from amad_bench.data.images.regions import square_pixels

Arrays = dict[str, np.ndarray]

# Mean and spread of colours in 0..1, of all channels or of red, green and blue: `half` gives -1..1, `clip` is
# what BLIP's checkpoints were trained with (CLIP's statistics), `imagenet` what many a ViT was (DeiT, DINO).
COLOURS = {
    "half": ((0.5,), (0.5,)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


class ImageTable(ABC):
    """M images; `ids` are their file names. M may be 0 (text without any photo).

    Goes to other processes without its arrays: they are opened there again.
    """

    ids: Sequence[str]

    @property
    def feature_size(self) -> int | None:
        """Numbers per region; None where the model sees the image as a whole."""
        return None

    def __len__(self) -> int:
        return len(self.ids)

    def batch(self, rows_B: np.ndarray, device: str | torch.device) -> dict[str, Tensor]:
        """A model's view of the images `rows_B`; row -1, no image, is all zeros behind an empty mask."""
        return self.to_tensors(self.read(np.asarray(rows_B)), device)

    @abstractmethod
    def read(self, rows_B: np.ndarray) -> Arrays:
        """The part of `batch` that costs time, fit for a worker process; bytes stay bytes."""

    @abstractmethod
    def to_tensors(self, arrays: Arrays, device: str | torch.device) -> dict[str, Tensor]:
        """The rest of `batch`: what `read` gave, on the device, as floats."""

    def __getstate__(self) -> dict[str, Any]:
        return {
            name: _OnDisk(Path(str(value.filename))) if isinstance(value, np.memmap) else value
            for name, value in self.__dict__.items()
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, mapped(value.path) if isinstance(value, _OnDisk) else value)


@dataclass(frozen=True)
class _OnDisk:
    path: Path


def mapped(path: Path) -> np.ndarray:
    """A .npy file, memory-mapped."""
    array = np.load(path, mmap_mode="r")
    return array if array.size else np.load(path)  # an empty file cannot be mapped


@dataclass(frozen=True)
class PatchRegions(ImageTable):
    """Raw pixels of regions, resized to squares: uint8, F = crop * crop * 3, scaled from 0..255 to -1..1.

    vis_feats (B, R, F), boxes (B, R, 4) in [0, 1] (x1, y1, x2, y2), vis_attention_mask (B, R) int64.
    """

    ids: Sequence[str]
    features_MRF: np.ndarray
    boxes_MR4: np.ndarray
    region_mask_MR: np.ndarray

    @property
    def feature_size(self) -> int:
        return self.features_MRF.shape[2]

    def read(self, rows_B: np.ndarray) -> Arrays:
        return {
            "vis_feats": _rows_of(self.features_MRF, rows_B),
            "boxes": _rows_of(self.boxes_MR4, rows_B),
            "vis_attention_mask": _rows_of(self.region_mask_MR, rows_B),
        }

    def to_tensors(self, arrays: Arrays, device: str | torch.device) -> dict[str, Tensor]:
        there_BR = torch.from_numpy(arrays["vis_attention_mask"]).to(device)
        return {
            "vis_feats": _scaled(arrays["vis_feats"], there_BR[:, :, None], device),
            "boxes": torch.from_numpy(arrays["boxes"]).to(device),
            "vis_attention_mask": there_BR.long(),
        }


@dataclass(frozen=True)
class FeatureRegions(ImageTable):
    """Features that another model made, read from files for each batch; tensors as of PatchRegions."""

    ids: Sequence[str]
    files: FeatureFiles

    @property
    def feature_size(self) -> int:
        return self.files.size

    def read(self, rows_B: np.ndarray) -> Arrays:
        shape_BR = (len(rows_B), self.files.max_regions)
        features_BRF = np.zeros((*shape_BR, self.files.size), np.float32)
        boxes_BR4 = np.zeros((*shape_BR, 4), np.float32)
        mask_BR = np.zeros(shape_BR, bool)
        for number, row in enumerate(rows_B):
            if row < 0:
                continue
            features_RF, boxes_R4 = self.files.read(feature_key(self.ids[int(row)]))
            regions = len(features_RF)
            features_BRF[number, :regions], boxes_BR4[number, :regions] = features_RF, boxes_R4
            mask_BR[number, :regions] = True
        return {"vis_feats": features_BRF, "boxes": boxes_BR4, "vis_attention_mask": mask_BR}

    def to_tensors(self, arrays: Arrays, device: str | torch.device) -> dict[str, Tensor]:
        tensors = {name: torch.from_numpy(array).to(device) for name, array in arrays.items()}
        return {**tensors, "vis_attention_mask": tensors["vis_attention_mask"].long()}


class PixelTable(ImageTable):
    """Whole images as squares: pixel_values (B, 3, S, S) float32, by one of COLOURS."""

    colours: str

    def to_tensors(self, arrays: Arrays, device: str | torch.device) -> dict[str, Tensor]:
        there_B = torch.from_numpy(arrays["there"]).to(device)
        scaled = _scaled(arrays["pixels"], there_B[:, None, None, None], device, self.colours)
        return {"pixel_values": scaled}


@dataclass(frozen=True)
class StoredPixels(PixelTable):
    """Squares that were made once and fit on the disk."""

    ids: Sequence[str]
    pixels_M3SS: np.ndarray
    colours: str = "half"

    def read(self, rows_B: np.ndarray) -> Arrays:
        return {"pixels": _rows_of(self.pixels_M3SS, rows_B), "there": rows_B >= 0}


@dataclass(frozen=True)
class DecodedPixels(PixelTable):
    """Squares made from the photos for each batch, where too many: the same values as StoredPixels."""

    ids: Sequence[str]
    photos: Photos
    size: int
    colours: str = "half"

    def read(self, rows_B: np.ndarray) -> Arrays:
        pixels_B3SS = np.zeros((len(rows_B), 3, self.size, self.size), np.uint8)
        for number, row in enumerate(rows_B):
            if row >= 0:
                image = self.photos.open_image(self.ids[int(row)])
                pixels_B3SS[number] = square_pixels(image, self.size)
        return {"pixels": pixels_B3SS, "there": rows_B >= 0}


def _rows_of(table_M: np.ndarray, rows_B: np.ndarray) -> np.ndarray:
    """table_M[rows_B], zeros for rows -1."""
    if len(table_M) == 0:
        return np.zeros((len(rows_B), *table_M.shape[1:]), table_M.dtype)
    taken = np.asarray(table_M[np.maximum(rows_B, 0)])
    taken[rows_B < 0] = 0
    return taken


def _scaled(
    bytes_B: np.ndarray, there_B: Tensor, device: str | torch.device, colours: str = "half"
) -> Tensor:
    """Bytes travel to the device, floats are made there."""
    mean, std = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in COLOURS[colours])
    scale, shift = (255 * std).float().to(device), (mean / std).float().to(device)
    return torch.from_numpy(bytes_B).to(device).float().div_(scale).sub_(shift).mul_(there_B)
