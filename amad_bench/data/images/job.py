"""Images to be made, and the places where they go."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from amad_bench.data.formats.records import BoxesFile
from amad_bench.data.images.boxes import BoxesOf, boxes_from_file
from amad_bench.data.images.photos import Photos
from amad_bench.data.text.arrays import new_array
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.paths import amad_data


@dataclass(frozen=True)
class Job:
    """Images that are made into what a model sees; row by row, `names` are their files' names.

    folder: where they go, not there under its final name yet. data_folder: the data set's own. boxes_file: of
    a data set that comes with boxes.
    """

    folder: Path
    data_folder: Path
    feature_paths: list[Path]
    photos: Photos
    names: list[str]
    boxes_file: BoxesFile | None = None

    def new_array(self, name: str, kind: type, *shape: int) -> np.ndarray:
        """One row per image, on disk from the start, so that memory does not grow with their number."""
        return new_array(self.folder / f"{name}.npy", kind, (len(self.names), *shape))

    def boxes(self, max_regions: int) -> BoxesOf:
        """The boxes that the data set comes with."""
        if self.boxes_file is None:
            raise ValueError("boxes of a file are asked for, and the data set comes without")
        return boxes_from_file(self.boxes_file, max_regions)

    def portable(self, path: Path) -> str:
        """A path that stays right when results or AMAD_DATA move, for `resolved`.

        "./..." is below the data set's folder; what is neither there nor below AMAD_DATA stays where it is.
        """
        if path.is_relative_to(self.data_folder):
            return f"./{path.relative_to(self.data_folder).as_posix()}"
        try:
            root = amad_data()
        except UserError:  # photos that a command was given, of data that are generated
            return str(path.absolute())
        return str(path.relative_to(root) if path.is_relative_to(root) else path.absolute())


def resolved(path: str, folder: Path) -> Path:
    """The place of a portable path; folder: that of the prepared images that name it."""
    if path.startswith("./"):
        return folder.parents[1] / path[2:]
    return Path(path) if Path(path).is_absolute() else amad_data() / path
