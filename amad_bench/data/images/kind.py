"""Kinds of image input, the part that makes and reads images: each in the file that has its name."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

from amad_bench.data.formats.records import SplitSource
from amad_bench.data.images.job import Job
from amad_bench.data.images.photos import Photos
from amad_bench.data.images.table import ImageTable
from amad_bench.plan.config.inputs import INPUTS, ImageInputs
from amad_bench.runtime.errors import UserError

Given = TypeVar("Given", bound=ImageInputs)


class ImageKind(ABC, Generic[Given]):
    """Images of one kind of input: found, made, read. inputs: its sizes."""

    def __init__(self, inputs: Given) -> None:
        self.inputs = inputs

    def find(
        self,
        sources: dict[str, SplitSource],
        photos: Photos,
        feature_paths: Sequence[Path],  # noqa: ARG002 (of precomputed features)
    ) -> list[str]:
        """The names of all images of the examples, sorted; checks what is known without reading every one.

        UserError: an example's image that is not there.
        """
        return image_names(sources, photos.__contains__)

    def feature_size(self) -> int | None:
        """Numbers per region; None where an image is seen as a whole.

        A pretrained model that makes them is loaded and tried; UserError where it cannot be used.
        """
        return self.inputs.feature_size

    @abstractmethod
    def write(self, job: Job) -> dict[str, Any]:
        """Makes files in the job's folder; the facts, fit for JSON, that `load` needs beside them.

        UserError: an image that cannot be used.
        """

    def check(self, job: Job, facts: dict[str, Any]) -> None:
        """UserError for an image that cannot be used, where `write` has not read all and `keep` will not.

        facts: those of `write`.
        """

    @staticmethod
    def unkept_bytes(folder: Path, images: int, facts: dict[str, Any]) -> int:  # noqa: ARG004
        """Room that the arrays of `keep` take; 0 where it has nothing to do."""
        return 0

    @staticmethod
    def keep(folder: Path, ids: Sequence[str], facts: dict[str, Any]) -> None:
        """Makes arrays of what `load` would read anew for each batch, to the same values.

        UserError: an image that cannot be used.
        """

    @staticmethod
    @abstractmethod
    def load(folder: Path, ids: Sequence[str], facts: dict[str, Any]) -> ImageTable:
        """The images that `write` made; arrays memory-mapped, files opened when read."""


def image_kind(inputs: ImageInputs) -> ImageKind[Any]:
    """The part of a kind that makes images, with the sizes of `inputs`."""
    return implementation_of(inputs.kind)(inputs)


def implementation_of(kind: str) -> type[ImageKind[Any]]:
    """The class behind a kind of the config."""
    return getattr(import_module(f"amad_bench.data.images.{kind}"), INPUTS[kind].implementation)


def image_names(
    sources: dict[str, SplitSource], there: Callable[[str], bool], places: Sequence[Path] | None = None
) -> list[str]:
    """The names of all images of the examples, sorted; UserError for the first that is not there.

    places: where they were looked for, None: among their split's photos.
    """
    first: dict[str, tuple[str, Sequence[Path]]] = {}  # image -> first record that names it, places to look
    for source in sources.values():
        for example in source.examples:
            if example.image is not None and example.image not in first:
                first[example.image] = (example.where, source.photos if places is None else places)
    absent = [name for name in first if not there(name)]
    if absent:
        where, looked = first[absent[0]]
        raise UserError(
            f"{where}: its image {absent[0]} is not in {' or '.join(map(str, looked))};"
            f" add the image or remove the record ({len(absent)} of {len(first)} images are missing)"
        )
    return sorted(first)
