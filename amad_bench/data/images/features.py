"""Precomputed features of regions, read from their files for each batch."""

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
from amad_bench.data.images.table import Arrays, ImageTable
from amad_bench.data.placing import placed
from amad_bench.plan.config.inputs import FeatureInputs
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
        check_features(self._files(job.feature_paths), job.names)
        return {
            "size": self.inputs.size,
            "max_regions": self.inputs.max_regions,
            "features": [job.portable(path) for path in job.feature_paths],
        }

    @staticmethod
    def load(folder: Path, ids: Sequence[str], facts: dict[str, Any]) -> "FeatureRegions":
        paths = [resolved(path, folder) for path in facts["features"]]
        return FeatureRegions(ids, FeatureFiles(paths, facts["size"], facts["max_regions"]))

    def _files(self, paths: Sequence[Path]) -> FeatureFiles:
        return FeatureFiles(paths, self.inputs.size, self.inputs.max_regions)


def check_features(files: FeatureFiles, names: Sequence[str]) -> None:
    """UserError unless the features of every image can be used. Closes the files."""
    with closing(files), progress(len(names), "features checked", "image") as bar:
        for name in names:
            files.check(feature_key(name))
            bar.update()


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
        tensors = {name: placed(torch.from_numpy(array), device) for name, array in arrays.items()}
        return {**tensors, "vis_attention_mask": tensors["vis_attention_mask"].long()}
