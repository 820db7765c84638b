"""The whole image as a square of pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from amad_bench.data.images.colours import scaled
from amad_bench.data.images.job import Job, resolved
from amad_bench.data.images.kind import ImageKind
from amad_bench.data.images.photos import Photos
from amad_bench.data.images.table import Arrays, ImageTable, mapped, rows_of
from amad_bench.data.placing import placed
from amad_bench.data.text.arrays import new_array
from amad_bench.plan.config.inputs import PixelInputs
from amad_bench.runtime.files import atomic_file
from amad_bench.runtime.progress import progress

_ARRAY = "pixels.npy"


class Pixels(ImageKind[PixelInputs]):
    """Squares, kept where they are not too many, or else made from the photos again for each batch."""

    def write(self, job: Job) -> dict[str, Any]:
        return {
            "size": self.inputs.size,
            "colours": self.inputs.colours,
            "photos": [job.portable(base) for base in job.photos.bases],
        }

    def check(self, job: Job, facts: dict[str, Any]) -> None:  # noqa: ARG002
        """A photo that cannot be decoded must not end a training in its tenth hour."""
        with progress(len(job.names), "photos decoded", "photo") as bar:
            for name in job.names:
                job.photos.open_image(name)
                bar.update()

    @staticmethod
    def unkept_bytes(folder: Path, images: int, facts: dict[str, Any]) -> int:
        return 0 if (folder / _ARRAY).exists() else 3 * facts["size"] ** 2 * images

    @staticmethod
    def keep(folder: Path, ids: Sequence[str], facts: dict[str, Any]) -> None:
        size = facts["size"]
        with _photos(folder, facts) as photos, atomic_file(folder / _ARRAY) as temporary:
            pixels_M3SS = new_array(temporary, np.uint8, (len(ids), 3, size, size))
            with progress(len(ids), "photos kept", "photo") as bar:
                for row, name in enumerate(ids):
                    pixels_M3SS[row] = square_pixels(photos.open_image(name), size)
                    bar.update()

    @staticmethod
    def load(folder: Path, ids: Sequence[str], facts: dict[str, Any]) -> "PixelTable":
        if (folder / _ARRAY).exists():
            return StoredPixels(ids, mapped(folder / _ARRAY), facts["colours"])
        return DecodedPixels(ids, _photos(folder, facts), facts["size"], facts["colours"])


def _photos(folder: Path, facts: dict[str, Any]) -> Photos:
    return Photos([resolved(path, folder) for path in facts["photos"]])


def square_pixels(image: Image.Image, size: int) -> np.ndarray:
    """The whole image squashed to (3, size, size) uint8, as BLIP's preprocessing does."""
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(image).transpose(2, 0, 1)


class PixelTable(ImageTable):
    """Whole images as squares: pixel_values (B, 3, S, S) float32, by one of COLOURS."""

    colours: str

    def to_tensors(self, arrays: Arrays, device: str | torch.device) -> dict[str, Tensor]:
        there_B = placed(torch.from_numpy(arrays["there"]), device)
        there_B111 = there_B[:, None, None, None]
        return {"pixel_values": scaled(arrays["pixels"], there_B111, device, self.colours)}


@dataclass(frozen=True)
class StoredPixels(PixelTable):
    """Squares that were made once and fit on the disk."""

    ids: Sequence[str]
    pixels_M3SS: np.ndarray
    colours: str = "half"

    def read(self, rows_B: np.ndarray) -> Arrays:
        return {"pixels": rows_of(self.pixels_M3SS, rows_B), "there": rows_B >= 0}


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
