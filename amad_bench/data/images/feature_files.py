"""Region features in VL-T5's official layout, read image by image.

An HDF5 file has a group per image id (COCO_train2014_000000458752; Flickr: 1000092795) with features (R, F)
float32, boxes (R, 4) as x1, y1, x2, y2 in pixels, and the scalars img_h and img_w. A folder of <image id>.npz
has arrays of the same names. Source: j-min/VL-T5, feature_extraction/tsv_to_h5.py and src/vqa_data.py.

Boxes as shares of the image are divided by img_w = img_h = 1, or refused. Boxes in another order (y first;
x, y, width, height), of another scale or with img_w and img_h swapped are found where one leaves its image,
as one of many soon does; a set that stays inside all images cannot be told from a right one. The photos,
which could show more, are no part of a run on features, and are not looked at.
"""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amad_bench.data.images.boxes import are_shares
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import refuse_lfs_pointer

if TYPE_CHECKING:
    import h5py

H5_SUFFIXES = (".h5", ".hdf5")
TOLERANCE = 1e-5  # by which a normalised box may leave the image, as in the official code
_ARRAYS = ("features", "boxes", "img_h", "img_w")


def feature_key(image: str) -> str:
    """The image id under which features of an image file are stored: its name without the ending."""
    return Path(image).stem


class FeatureFiles:
    """Reads features of `size` numbers, at most `max_regions` of an image, from the first file that has it.

    Files stay open, once per process; the object goes to worker processes by its paths. UserError: a path
    that is no HDF5 file and no folder.
    """

    def __init__(self, paths: Sequence[Path], size: int, max_regions: int) -> None:
        self.paths, self.size, self.max_regions = tuple(paths), size, max_regions
        self._open: dict[Path, h5py.File] = {}
        self._process = os.getpid()
        for path in self.paths:
            if not path.exists():
                raise UserError(f"{path}: no such file; put the features there or change dataset.features")
            if path.suffix in H5_SUFFIXES:
                self._file(path)
            elif not path.is_dir():
                raise UserError(f"{path}: features are .h5 or .hdf5 files or a folder of <image id>.npz")

    def __contains__(self, key: str) -> bool:
        return self.path_of(key) is not None

    def read(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """features_RF and boxes_R4 (in [0, 1]), float32, of the first max_regions regions."""
        path = self.path_of(key)
        if path is None:
            places = ", ".join(map(str, self.paths))
            raise UserError(f"{places}: no features of image {key}; add them or remove its records")
        raw = self._arrays(path, key)
        where = f"{path}: image {key}"
        features_RF, boxes_R4 = raw["features"], raw["boxes"]
        if any(array.dtype.kind not in "fiu" for array in raw.values()):
            raise UserError(f"{where}: {', '.join(_ARRAYS)} must hold numbers; make the file anew")
        if features_RF.ndim != 2 or features_RF.shape[1] != self.size:
            raise UserError(
                f"{where}: features of shape {features_RF.shape}, expected (regions, {self.size});"
                " set inputs.size to the last number or take other features"
            )
        if boxes_R4.shape != (len(features_RF), 4) or not len(boxes_R4):
            raise UserError(
                f"{where}: boxes of shape {boxes_R4.shape} for {len(features_RF)} features, expected one row"
                " x1, y1, x2, y2 per feature; make the file anew"
            )
        boxes_R4 = _normalised(boxes_R4, raw["img_w"], raw["img_h"], where)
        with np.errstate(over="ignore"):  # what becomes infinite, `check` refuses
            return features_RF[: self.max_regions].astype(np.float32), boxes_R4[: self.max_regions]

    def check(self, key: str) -> tuple[np.ndarray, np.ndarray]:
        """The numbers that `read` gives; UserError unless all are finite, and boxes inside the image."""
        features_RF, boxes_R4 = self.read(key)
        if not np.isfinite(features_RF).all():
            raise UserError(
                f"{self.path_of(key)}: image {key}: features are NaN or infinite; make the file anew"
            )
        return features_RF, boxes_R4

    def close(self) -> None:
        for file in self._open.values():
            file.close()
        self._open = {}

    def path_of(self, key: str) -> Path | None:
        """The first file or folder that has the image."""
        for path in self.paths:
            if key in self._file(path) if path.suffix in H5_SUFFIXES else (path / f"{key}.npz").is_file():
                return path
        return None

    def _file(self, path: Path) -> "h5py.File":
        import h5py  # only runs with such features need it

        if self._process != os.getpid():  # a forked worker must not share its parent's file positions
            self._open, self._process = {}, os.getpid()
        if path not in self._open:
            try:
                # Read-only and never written in place: no lock is needed, and some file systems have none.
                self._open[path] = h5py.File(path, "r", locking=False)
            except OSError as error:
                refuse_lfs_pointer(path)
                raise UserError(f"{path}: no readable HDF5 file ({_line(error)}); restore it") from None
        return self._open[path]

    def _arrays(self, path: Path, key: str) -> dict[str, np.ndarray]:
        try:
            if path.suffix in H5_SUFFIXES:
                group: Any = self._file(path)[key]
                return {name: np.asarray(group[name][()]) for name in _ARRAYS}
            with (path / f"{key}.npz").open("rb") as file, np.load(file) as group:
                return {name: group[name] for name in _ARRAYS}
        except KeyError as error:
            raise UserError(f"{path}: image {key}: {_line(error)}; it needs {', '.join(_ARRAYS)}") from None
        except (OSError, ValueError, TypeError, EOFError, zipfile.BadZipFile) as error:
            refuse_lfs_pointer(path / f"{key}.npz")
            raise UserError(f"{path}: image {key} cannot be read ({_line(error)}); restore it") from None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": {}}


def _normalised(boxes_R4: np.ndarray, width: np.ndarray, height: np.ndarray, where: str) -> np.ndarray:
    """Boxes in pixels as shares of the image; official tolerance, then clamped to [0, 1]."""
    if width.size != 1 or height.size != 1 or not (0 < width < np.inf and 0 < height < np.inf):
        raise UserError(f"{where}: img_w and img_h must be positive numbers; make the file anew")
    size = f"{width.item():g} x {height.item():g}"
    if are_shares(boxes_R4, width.item(), height.item()):
        raise UserError(
            f"{where}: no edge of its boxes reaches 2 in an image of {size}: shares of it, not pixels;"
            " multiply them by its size, or store img_w = img_h = 1"
        )
    with np.errstate(over="ignore"):
        shares_R4 = boxes_R4.astype(np.float32) / np.array([width.item(), height.item()] * 2, np.float32)
    inside_R4 = (shares_R4 < 1 + TOLERANCE) & (-shares_R4 < TOLERANCE)  # false for NaN
    ordered_R = (boxes_R4[:, 0] <= boxes_R4[:, 2]) & (boxes_R4[:, 1] <= boxes_R4[:, 3])
    wrong = np.flatnonzero(~(inside_R4.all(axis=1) & ordered_R))
    if len(wrong):
        raise UserError(
            f"{where}: box {[float(edge) for edge in boxes_R4[wrong[0]]]} is not inside the image"
            f" (img_w x img_h = {size}) as x1 <= x2, y1 <= y2 in pixels; make the file anew"
        )
    return shares_R4.clip(0.0, 1.0)


def _line(error: Exception) -> str:
    reason = getattr(error, "strerror", None) or (error.args[0] if error.args else error)
    return " ".join(str(reason).split())[:160]
