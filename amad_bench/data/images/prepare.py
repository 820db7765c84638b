"""The images that the examples name are checked, and made into what a model sees, once per set of images."""

import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib.format import open_memmap
from PIL import Image

from amad_bench.data.formats.records import BoxesFile, SplitSource
from amad_bench.data.images.features import FeatureFiles, are_shares, feature_key
from amad_bench.data.images.photos import Photos
from amad_bench.data.images.regions import Box, crop_regions, grid_boxes, read_boxes, square_pixels
from amad_bench.data.images.table import (
    DecodedPixels,
    FeatureRegions,
    ImageTable,
    PatchRegions,
    StoredPixels,
    mapped,
)
from amad_bench.data.text.columns import TEXT, Column, write_columns
from amad_bench.plan.catalogue import PREPARED_VERSION
from amad_bench.plan.config.inputs import (
    ExtractedInputs,
    FeatureInputs,
    Inputs,
    PixelInputs,
    RegionInputs,
)
from amad_bench.plan.run_config import DataSpec, UsedDataset, short_hash
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import atomic_directory, read_json
from amad_bench.runtime.locks import exclusive
from amad_bench.runtime.paths import amad_data
from amad_bench.runtime.progress import progress

STORED_PIXELS = 4 * 2**30  # bytes; pixels beyond it are decoded from the photos for each batch


@dataclass(frozen=True)
class _Job:
    folder: Path
    data_folder: Path
    inputs: Inputs
    feature_paths: list[Path]
    photos: Photos
    names: list[str]
    boxes: BoxesFile | None


def prepare_images(data_folder: Path, data: DataSpec, sources: dict[str, SplitSource]) -> Path:
    """Makes what `load_images` reads; the folder depends on the images' names, inputs and the data's hash.

    UserError: an example's image that is not there, cannot be decoded, has no boxes, or has features that are
    not finite numbers of the right shape.
    """
    feature_paths, inputs = _feature_paths(data.dataset), data.inputs
    with Photos(photo_bases(sources)) as photos:
        names = find_images(data.dataset, inputs, sources, photos)
        prepared = data_folder / "prepared"
        prepared.mkdir(parents=True, exist_ok=True)
        identity = short_hash(
            [PREPARED_VERSION, inputs.model_dump(), data.inputs_hash, data.dataset.features, names]
        )
        folder = prepared / f"images-{identity}"
        if folder.is_dir():
            return folder
        # Several tasks share their images, and may be prepared at once: one of them makes them.
        with exclusive(prepared):
            if not folder.is_dir():
                with atomic_directory(folder) as temporary:
                    boxes = sources["train"].boxes
                    _write(_Job(temporary, data_folder, inputs, feature_paths, photos, names, boxes))
    return folder


def find_images(
    dataset: UsedDataset, inputs: Inputs, sources: dict[str, SplitSource], photos: Photos
) -> list[str]:
    """The names of all images of the examples, sorted; what is known without reading every one is checked.

    UserError: an example's image that is not there; features that do not open or, those of the first image in
    each file, do not fit `inputs`.
    """
    if not isinstance(inputs, FeatureInputs):
        return _image_names(sources, photos.__contains__, None)
    paths = _feature_paths(dataset)
    with closing(FeatureFiles(paths, inputs.size, inputs.max_regions)) as files:
        names = _image_names(sources, lambda name: feature_key(name) in files, paths)
        first_of_file = {files.path_of(feature_key(name)): name for name in reversed(names)}
        for name in first_of_file.values():
            files.check(feature_key(name))
    return names


def photo_bases(sources: dict[str, SplitSource]) -> list[Path]:
    """Places where the photos of any split are looked for, the first split's places first."""
    return list(dict.fromkeys(base for source in sources.values() for base in source.photos))


def _feature_paths(dataset: UsedDataset) -> list[Path]:
    return [amad_data() / path for path in dataset.features or ()]


def _image_names(
    sources: dict[str, SplitSource], there: Callable[[str], bool], feature_paths: list[Path] | None
) -> list[str]:
    first: dict[str, tuple[str, Sequence[Path]]] = {}  # image -> first record that names it, places to look
    for source in sources.values():
        for example in source.examples:
            if example.image is not None and example.image not in first:
                first[example.image] = (example.where, feature_paths or source.photos)
    absent = [name for name in first if not there(name)]
    if absent:
        where, places = first[absent[0]]
        raise UserError(
            f"{where}: its image {absent[0]} is not in {' or '.join(map(str, places))};"
            f" add the image or remove the record ({len(absent)} of {len(first)} images are missing)"
        )
    return sorted(first)


def _write(job: _Job) -> None:
    inputs = job.inputs
    content: dict[str, Any] = {"kind": inputs.kind}
    match inputs:
        case RegionInputs():
            _write_patches(job, inputs)
        case FeatureInputs():
            _check_features(job, job.feature_paths, inputs.size, inputs.max_regions)
            content |= {"size": inputs.size, "max_regions": inputs.max_regions}
            content["features"] = [_portable(path, job) for path in job.feature_paths]
        case ExtractedInputs():
            content |= {"size": _extract(job, inputs), "max_regions": inputs.max_regions}
        case PixelInputs() if 3 * inputs.size**2 * len(job.names) <= STORED_PIXELS:
            _write_pixels(job, inputs.size)
            content["colours"] = inputs.colours
        case PixelInputs():
            _check_photos(job)
            content |= {"kind": "decoded", "size": inputs.size, "colours": inputs.colours}
            content["photos"] = [_portable(base, job) for base in job.photos.bases]
    write_columns(job.folder / "images.arrow", {"id": TEXT}, ((name,) for name in job.names))
    (job.folder / "images.json").write_text(json.dumps(content), encoding="utf-8")


def load_images(folder: Path) -> ImageTable:
    """The table that `prepare_images` made; its arrays memory-mapped, its files opened when read."""
    content = read_json(folder / "images.json")
    ids: Column[str] = Column(folder / "images.arrow", "id")
    data_folder = folder.parents[1]
    match content["kind"]:
        case "regions":
            arrays = (mapped(folder / f"{name}.npy") for name in ("features", "boxes", "region_mask"))
            return PatchRegions(ids, *arrays)
        case "pixels":
            return StoredPixels(ids, mapped(folder / "pixels.npy"), content["colours"])
        case "decoded":
            bases = [_resolved(path, data_folder) for path in content["photos"]]
            return DecodedPixels(ids, Photos(bases), content["size"], content["colours"])
        case "features":
            paths = [_resolved(path, data_folder) for path in content["features"]]
        case _:
            paths = [folder / "features.h5"]
    return FeatureRegions(ids, FeatureFiles(paths, content["size"], content["max_regions"]))


def what_is_seen(inputs: Inputs) -> str:
    """Phrase for tables: how a model sees an image."""
    match inputs:
        case RegionInputs():
            places = f"a {inputs.rows} x {inputs.columns} grid" if inputs.grid else "given boxes"
            return f"raw {inputs.crop} x {inputs.crop} px patches of {places}"
        case PixelInputs():
            return f"raw {inputs.size} x {inputs.size} px in {inputs.patch} px patches"
        case FeatureInputs():
            return f"precomputed features of {inputs.max_regions} regions x {inputs.size}"
        case ExtractedInputs():
            grid = f"{inputs.rows} x {inputs.columns} grid"
            return f"extracted {grid} features ({Path(inputs.model).name} at {inputs.size} px)"


def _portable(path: Path, job: _Job) -> str:
    """A path that stays right when results or AMAD_DATA move: "./..." is below the data set's folder."""
    if path.is_relative_to(job.data_folder):
        return f"./{path.relative_to(job.data_folder).as_posix()}"
    root = amad_data()
    return str(path.relative_to(root) if path.is_relative_to(root) else path)


def _resolved(path: str, data_folder: Path) -> Path:
    return data_folder / path[2:] if path.startswith("./") else amad_data() / path


def _write_pixels(job: _Job, size: int) -> None:
    pixels_M3SS = _new_array(job, "pixels", np.uint8, 3, size, size)
    for row, name in enumerate(job.names):
        pixels_M3SS[row] = square_pixels(job.photos.open_image(name), size)


def _check_photos(job: _Job) -> None:
    """A photo that cannot be decoded must not end a training in its tenth hour."""
    with progress(len(job.names), "photos decoded", "photo") as bar:
        for name in job.names:
            job.photos.open_image(name)
            bar.update()


def _write_patches(job: _Job, inputs: RegionInputs) -> None:
    crop, regions = inputs.crop, inputs.max_regions
    features_MRF = _new_array(job, "features", np.uint8, regions, crop * crop * 3)
    boxes_MR4 = _new_array(job, "boxes", np.float32, regions, 4)
    mask_MR = _new_array(job, "region_mask", np.bool_, regions)
    boxes_of = _boxes_of_grid(*inputs.grid) if inputs.grid else _boxes_from_file(job, regions)
    for row, name in enumerate(job.names):
        image = job.photos.open_image(name)
        cropped = crop_regions(image, boxes_of(name, image), crop, regions)
        features_MRF[row], boxes_MR4[row], mask_MR[row] = cropped


def _new_array(job: _Job, name: str, kind: type, *shape: int) -> np.ndarray:
    """One row per image, on disk from the start, so that memory does not grow with their number."""
    path, shape = job.folder / f"{name}.npy", (len(job.names), *shape)
    if not job.names:  # an empty file cannot be mapped
        np.save(path, np.zeros(shape, kind))
        return np.load(path)
    return open_memmap(path, "w+", kind, shape)


BoxesOf = Callable[[str, Image.Image], list[Box]]


def _boxes_of_grid(rows: int, columns: int) -> BoxesOf:
    return lambda _, image: grid_boxes(image.width, image.height, rows, columns)


def _boxes_from_file(job: _Job, max_regions: int) -> BoxesOf:
    if job.boxes is None:
        raise ValueError("boxes of a file are asked for, and the data set comes without")
    path, name_of = job.boxes.path, job.boxes.image_name
    by_name = {name_of(int(image_id)): boxes for image_id, boxes in read_boxes(path, max_regions).items()}

    def boxes_of(name: str, image: Image.Image) -> list[Box]:
        if name not in by_name:
            raise UserError(f"{path}: no boxes for image {name}; add them or remove the image")
        boxes = by_name[name]
        if are_shares(boxes, *image.size):
            raise UserError(
                f"{path}: no edge of the boxes of image {name} reaches 2: shares of it, not pixels; multiply"
                f" them by its size ({image.width} x {image.height})"
            )
        if any(box[2] > image.width or box[3] > image.height for box in boxes):
            raise UserError(
                f"{path}: a box of image {name} leaves the image ({image.width} x {image.height}); fix it"
            )
        return boxes

    return boxes_of


def _check_features(job: _Job, paths: list[Path], size: int, max_regions: int) -> None:
    with (
        closing(FeatureFiles(paths, size, max_regions)) as files,
        progress(len(job.names), "features checked", "image") as bar,
    ):
        for name in job.names:
            files.check(feature_key(name))
            bar.update()


def _extract(job: _Job, inputs: ExtractedInputs) -> int:
    """Makes features.h5 in the folder; the size of a feature."""
    from amad_bench.data.images.extract import (
        extract_features,  # transformers: slow to import, and few runs need it
    )

    path = job.folder / "features.h5"
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = amad_data() / inputs.model
    size = extract_features(path, model, inputs, job.photos, job.names, device)
    _check_features(job, [path], size, inputs.max_regions)
    return size
