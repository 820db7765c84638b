"""Precomputed features of regions: kept in one memory map, or read from their files for each batch."""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from amad_bench.data.formats.records import SplitSource
from amad_bench.data.images.feature_files import FeatureFiles, feature_key
from amad_bench.data.images.job import Job, resolved
from amad_bench.data.images.kind import ImageKind, image_names
from amad_bench.data.images.photos import Photos
from amad_bench.data.images.region_arrays import RegionArrays
from amad_bench.data.images.table import Arrays, ImageTable, mapped
from amad_bench.data.placing import placed
from amad_bench.data.text.arrays import new_array
from amad_bench.plan.config.inputs import FeatureInputs
from amad_bench.runtime.files import atomic_file
from amad_bench.runtime.progress import progress


class Features(ImageKind[FeatureInputs]):
    """Files that the data set's entry names; the photos are not looked at."""

    def find(
        self,
        sources: dict[str, SplitSource],
        photos: Photos,  # noqa: ARG002
        feature_paths: Sequence[Path],
    ) -> list[str]:
        """The names of all images of the examples, sorted.

        UserError: files that do not open, or lack an image; features of another shape than `inputs` say, of
        the first image in each file.
        """
        with closing(self._files(feature_paths)) as files:
            names = image_names(sources, lambda name: feature_key(name) in files, feature_paths)
            first_of_file = {files.path_of(feature_key(name)): name for name in reversed(names)}
            for name in first_of_file.values():
                files.check(feature_key(name))
        return names

    def write(self, job: Job) -> dict[str, Any]:
        return {
            "size": self.inputs.size,
            "max_regions": self.inputs.max_regions,
            "features": [job.portable(path) for path in job.feature_paths],
        }

    def check(self, job: Job, facts: dict[str, Any]) -> None:
        check_features(_files_of(job.folder, facts), job.names)

    @staticmethod
    def unkept_bytes(folder: Path, images: int, facts: dict[str, Any]) -> int:
        return unkept_bytes(folder, images, facts)

    @staticmethod
    def keep(folder: Path, ids: Sequence[str], facts: dict[str, Any]) -> None:
        keep_features(folder, ids, _files_of(folder, facts))

    @staticmethod
    def load(folder: Path, ids: Sequence[str], facts: dict[str, Any]) -> "FeatureTable":
        if is_kept(folder):
            return kept_features(folder, ids)
        return FeatureRegions(ids, _files_of(folder, facts))

    def _files(self, paths: Sequence[Path]) -> FeatureFiles:
        return FeatureFiles(paths, self.inputs.size, self.inputs.max_regions)


def _files_of(folder: Path, facts: dict[str, Any]) -> FeatureFiles:
    paths = [resolved(path, folder) for path in facts["features"]]
    return FeatureFiles(paths, facts["size"], facts["max_regions"])


def check_features(files: FeatureFiles, names: Sequence[str]) -> None:
    """UserError unless the features of every image can be used. Closes the files."""
    with closing(files), progress(len(names), "features checked", "image") as bar:
        for name in names:
            files.check(feature_key(name))
            bar.update()


# Arrays of a row per image: float32 as in the files, so that no number depends on whether they are there.
_FEATURES, _BOXES, _MASK = "features.npy", "boxes.npy", "region_mask.npy"


def is_kept(folder: Path) -> bool:
    """Whether `keep_features` has made its arrays in a folder."""
    return (folder / _FEATURES).exists()


def unkept_bytes(folder: Path, images: int, facts: dict[str, Any]) -> int:
    """Room that `keep_features` would take; 0 where it has nothing to do."""
    size = images * facts["max_regions"] * (4 * facts["size"] + 4 * 4 + 1)
    return 0 if is_kept(folder) else size


def keep_features(folder: Path, ids: Sequence[str], files: FeatureFiles) -> None:
    """Puts the features of all images into arrays, and closes the files.

    UserError for features that cannot be used.
    """
    images, regions = len(ids), files.max_regions
    with (
        closing(files),
        atomic_file(folder / _FEATURES) as features,  # the last one to get its name
        atomic_file(folder / _BOXES) as boxes,
        atomic_file(folder / _MASK) as mask,
        progress(images, "features kept", "image") as bar,
    ):
        features_MRF = new_array(features, np.float32, (images, regions, files.size))
        boxes_MR4 = new_array(boxes, np.float32, (images, regions, 4))
        mask_MR = new_array(mask, np.bool_, (images, regions))
        for row, name in enumerate(ids):
            features_RF, boxes_R4 = files.check(feature_key(name))
            found = len(features_RF)
            features_MRF[row, :found], boxes_MR4[row, :found] = features_RF, boxes_R4
            mask_MR[row, :found] = True
            bar.update()


def kept_features(folder: Path, ids: Sequence[str]) -> "MappedFeatures":
    """The arrays that `keep_features` made."""
    return MappedFeatures(ids, *(mapped(folder / name) for name in (_FEATURES, _BOXES, _MASK)))


class FeatureTable(ImageTable):
    """Features that another model made; tensors as of PatchRegions."""

    def to_tensors(self, arrays: Arrays, device: str | torch.device) -> dict[str, Tensor]:
        tensors = {name: placed(torch.from_numpy(array), device) for name, array in arrays.items()}
        return {**tensors, "vis_attention_mask": tensors["vis_attention_mask"].long()}


class MappedFeatures(RegionArrays, FeatureTable):
    """Features in memory maps."""


@dataclass(frozen=True)
class FeatureRegions(FeatureTable):
    """Features that are read from their files for each batch."""

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
