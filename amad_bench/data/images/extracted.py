"""Features of a grid over an image, made by a pretrained vision model and kept in VL-T5's official layout."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d

from amad_bench.data.images.boxes import grid_boxes
from amad_bench.data.images.feature_files import FeatureFiles, feature_key
from amad_bench.data.images.features import (
    FeatureRegions,
    FeatureTable,
    check_features,
    is_kept,
    keep_features,
    kept_features,
    unkept_bytes,
)
from amad_bench.data.images.job import Job
from amad_bench.data.images.kind import ImageKind
from amad_bench.data.images.new_features import new_features
from amad_bench.data.images.photos import Photos
from amad_bench.data.pretrained import loading
from amad_bench.plan.config.inputs import ExtractedInputs
from amad_bench.runtime import devices
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import atomic_file
from amad_bench.runtime.paths import amad_data
from amad_bench.runtime.progress import progress

BATCH = 32
_FILES = ("config.json", "preprocessor_config.json", "model.safetensors", "pytorch_model.bin")
_FEATURES = "features.h5"


class Extracted(ImageKind[ExtractedInputs]):
    """A file of features beside the images' names, in the layout of precomputed ones."""

    def feature_size(self) -> int:
        """Numbers per region, as the vision model gives them; UserError where it cannot be used."""
        return load_extractor(amad_data() / self.inputs.model, self.inputs, torch.device("cpu"))[2]

    def write(self, job: Job) -> dict[str, Any]:
        path, regions = job.folder / _FEATURES, self.inputs.regions
        model, place = amad_data() / self.inputs.model, devices.find(devices.AUTO).place
        size = extract_features(path, model, self.inputs, job.photos, job.names, place)
        return {"size": size, "max_regions": regions}

    def check(self, job: Job, facts: dict[str, Any]) -> None:
        check_features(_files(job.folder, facts), job.names)

    @staticmethod
    def unkept_bytes(folder: Path, images: int, facts: dict[str, Any]) -> int:
        return unkept_bytes(folder, images, facts)

    @staticmethod
    def keep(folder: Path, ids: Sequence[str], facts: dict[str, Any]) -> None:
        keep_features(folder, ids, _files(folder, facts))
        (folder / _FEATURES).unlink()  # nothing reads it any more

    @staticmethod
    def load(folder: Path, ids: Sequence[str], facts: dict[str, Any]) -> FeatureTable:
        return kept_features(folder, ids) if is_kept(folder) else FeatureRegions(ids, _files(folder, facts))


def _files(folder: Path, facts: dict[str, Any]) -> FeatureFiles:
    return FeatureFiles([folder / _FEATURES], facts["size"], facts["max_regions"])


def extract_features(
    path: Path,
    model_folder: Path,
    inputs: ExtractedInputs,
    photos: Photos,
    names: Sequence[str],
    device: torch.device,
) -> int:
    """Writes `path`, complete or not at all: for each named photo rows * columns features with their boxes.

    The whole photo becomes size x size pixels, as the folder's image processor normalises them but never
    cropped, so that the boxes are right; the model's last hidden state becomes a map of vectors (tokens
    before the patches, such as CLS, are dropped), averaged to the grid. `inputs`: size, rows, columns.
    Returns the size of a feature. UserError: a folder without a vision model and its image processor, a size
    it cannot read, a photo that is no image.
    """
    model, normalise, feature_size = load_extractor(model_folder, inputs, device)
    rows, columns, size = inputs.rows, inputs.columns, inputs.size
    with (
        atomic_file(path) as temporary,
        new_features(temporary) as file,
        progress(len(names), f"features of {model_folder.name}", "photo") as bar,
    ):
        for start in range(0, len(names), BATCH):
            chunk = names[start : start + BATCH]
            images = [photos.open_image(name) for name in chunk]
            pixels_B3SS = torch.from_numpy(np.stack([normalise(image, size) for image in images])).to(device)
            features_BRF = _grid(model, pixels_B3SS, rows, columns, model_folder)
            for name, image, features_RF in zip(chunk, images, features_BRF, strict=True):
                boxes_R4 = np.array(grid_boxes(image.width, image.height, rows, columns), np.float32)
                file.add(feature_key(name), features_RF, boxes_R4, image.height, image.width)
            bar.update(len(chunk))
    return feature_size


def load_extractor(
    folder: Path, inputs: ExtractedInputs, device: torch.device
) -> tuple[nn.Module, "_Normalise", int]:
    """The vision model, what its image processor does, and the size of a feature, known from an empty image.

    UserError: as `extract_features`, but for photos.
    """
    from transformers import AutoModel

    # not from `transformers` itself: that one asks for torchvision in 5.17, whatever the backend
    from transformers.models.auto.image_processing_auto import AutoImageProcessor

    with loading(folder, "a vision model with its image processor (inputs.model)", _FILES):
        model, report = AutoModel.from_pretrained(
            str(folder),
            local_files_only=True,
            dtype=torch.float32,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # reported below
        )
        processor = AutoImageProcessor.from_pretrained(str(folder), local_files_only=True, backend="pil")
        normalise = _Normalise(processor, folder / "preprocessor_config.json")
    absent = sorted(name for name in report["missing_keys"] if "pooler" not in name)
    if absent:
        raise UserError(f"{folder}: the checkpoint lacks {', '.join(absent[:3])}; restore the model's files")
    for name, stored, expected in sorted(report["mismatched_keys"]):
        raise UserError(
            f"{folder}: weight {name} has the shape {tuple(stored)}, config.json says {tuple(expected)};"
            " restore the model's files"
        )
    vision: nn.Module = getattr(model, "vision_model", model)  # of CLIP, SigLIP, BLIP
    vision = vision.to(device).eval()
    empty_13SS = torch.zeros(1, 3, inputs.size, inputs.size, device=device)
    feature_size = _grid(vision, empty_13SS, inputs.rows, inputs.columns, folder).shape[2]
    return vision, normalise, feature_size


class _Normalise:
    """Resizing and colours of a transformers image processor, without its cropping.

    UserError naming its `file`: it does more to colours, or mean and spread are not in units of its pixels.
    """

    def __init__(self, processor: Any, file: Path) -> None:
        for key in ("do_flip_channel_order", "rescale_offset", "do_grayscale"):
            if getattr(processor, key, False):
                raise UserError(f"{file}: {key} is not done here; take another vision model")
        self.resample = Image.Resampling(int(processor.resample))
        self.factor = processor.rescale_factor if processor.do_rescale else 1.0
        plain = not processor.do_normalize
        self.mean_311 = np.reshape([0.0] * 3 if plain else processor.image_mean, (3, 1, 1))
        self.std_311 = np.reshape([1.0] * 3 if plain else processor.image_std, (3, 1, 1))
        white = 255 * self.factor
        if not (0 <= self.mean_311.min() <= self.mean_311.max() <= white and self.std_311.min() > 0):
            raise UserError(
                f"{file}: image_mean must be from 0 to {white:g}, as white is after rescale_factor, and"
                " image_std above 0; restore it"
            )

    def __call__(self, image: Image.Image, size: int) -> np.ndarray:
        """(3, size, size) float32"""
        pixels_3SS = np.asarray(image.resize((size, size), self.resample)).transpose(2, 0, 1)
        return ((pixels_3SS * self.factor - self.mean_311) / self.std_311).astype(np.float32)


def _grid(model: nn.Module, pixels_B3SS: Tensor, rows: int, columns: int, folder: Path) -> np.ndarray:
    """(B, rows * columns, F), row by row."""
    with torch.no_grad(), devices.DEVICES[pixels_B3SS.device.type].exact():
        try:
            hidden = model(pixel_values=pixels_B3SS).last_hidden_state
        except (ValueError, AttributeError, TypeError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise UserError(
                f"{folder}: gives no features of {pixels_B3SS.shape[-1]} px images ({reason});"
                " set inputs.size to the model's own or take another vision model"
            ) from None
    if hidden.ndim == 3:  # tokens; those of the patches come last and form a square
        side = int(hidden.shape[1] ** 0.5)
        hidden = hidden[:, -side * side :].transpose(1, 2).unflatten(2, (side, side))
    if rows > hidden.shape[2] or columns > hidden.shape[3]:
        raise UserError(
            f"{folder}: its map is {hidden.shape[2]} x {hidden.shape[3]}, smaller than inputs.rows x columns"
            f" ({rows} x {columns}); lower them or raise inputs.size"
        )
    return adaptive_avg_pool2d(hidden, (rows, columns)).flatten(2).transpose(1, 2).cpu().numpy()
