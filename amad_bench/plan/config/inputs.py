"""Kinds of image input: what a model sees of an image, as far as a config and the plan must know it.

What makes and reads the images of a kind stands in amad_bench/data/images/<kind>.py.
"""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, cast, get_args

from pydantic import BeforeValidator, Field, SerializeAsAny, TypeAdapter

from amad_bench.plan.config.base import Closed, PathBelow, Problems
from amad_bench.plan.config.numbers import Few, Length, Size
from amad_bench.plan.shown import unknown

IMAGE_CACHE_GB = 4.0  # room for images as arrays, where a config says nothing


class ImageInputs(Closed):
    """A kind of image input, with its sizes.

    implementation: its class in amad_bench/data/images/<kind>.py. gives: what a batch holds of an image:
    "regions" with their boxes, or the "pixels" of all of it. reads: what it is made of: "photos", or the
    "features" that a data set's entry names.
    """

    implementation: ClassVar[str]
    gives: ClassVar[Literal["regions", "pixels"]]
    reads: ClassVar[Literal["photos", "features"]] = "photos"

    kind: Any  # a Literal of its own in each kind

    @property
    @abstractmethod
    def phrase(self) -> str:
        """Phrase for tables: how a model sees an image."""

    @property
    def regions(self) -> int | None:
        """The most regions that an image has; None where it is seen as a whole."""
        return None

    @property
    def patches(self) -> tuple[int, int] | None:
        """Sides of an image that is seen as a whole and of its patches, in pixels."""
        return None

    @property
    def tokens(self) -> int | None:
        """Patches of an image that is seen as a whole, and one more for all of it."""
        if self.patches is None:
            return None
        size, patch = self.patches
        return (size // patch) ** 2 + 1

    @property
    def feature_size(self) -> int | None:
        """Numbers per region, where they are known before anything is read."""
        return None

    @property
    def needs_boxes(self) -> bool:
        """Whether the data set must say where the regions are."""
        return False

    @property
    def model_folder(self) -> str | None:
        """Folder below AMAD_DATA of the pretrained model that makes them, on a GPU where there is one."""
        return None

    def problems(self) -> Iterator[str]:
        """Mistakes in its sizes, in lines that follow its path, as those of Problems do."""
        return iter(())

    def size_problem(self, size: int) -> str:  # noqa: ARG002 (of pixels)
        """Mistake that images of another size, in pixels, would be; "" for none."""
        return "only for models that see pixels; remove it"

    def resized(self, size: int) -> "ImageInputs":
        """The same for images of another size, which has no `size_problem`."""
        raise NotImplementedError(f"images of {size} px: {self.size_problem(size)}")


class RegionInputs(ImageInputs):
    """Boxes of an image, each as crop x crop RGB pixels."""

    implementation = "Regions"
    gives = "regions"

    kind: Literal["regions"] = Field(description="raw pixels of boxes")
    boxes: Literal["file", "grid"] = Field(
        description="file: those that the data set comes with; grid: rows x columns of equal size"
    )
    crop: Length = Field(description="side that each box is scaled to, in pixels")
    max_regions: Length = Field(description="boxes per image at most; further ones are left out")
    rows: Few | None = Field(default=None, description="of `boxes: grid`, needed there and only there")
    columns: Few | None = Field(default=None, description="of `boxes: grid`, needed there and only there")

    @property
    def grid(self) -> tuple[int, int] | None:
        """Rows and columns of `boxes: grid`."""
        return None if self.rows is None or self.columns is None else (self.rows, self.columns)

    @property
    def phrase(self) -> str:
        places = f"a {self.rows} x {self.columns} grid" if self.grid else "given boxes"
        return f"raw {self.crop} x {self.crop} px patches of {places}"

    @property
    def regions(self) -> int:
        return self.max_regions

    @property
    def feature_size(self) -> int:
        return 3 * self.crop**2

    @property
    def needs_boxes(self) -> bool:
        return self.boxes == "file"

    def problems(self) -> Iterator[str]:
        rows, columns = self.rows, self.columns
        if self.needs_boxes:
            for key in [key for key in ("rows", "columns") if getattr(self, key) is not None][:1]:
                yield f".{key}: only `boxes: grid` has rows and columns; remove them"
        elif rows is None or columns is None:
            yield ": `boxes: grid` needs rows and columns; add them"
        elif rows * columns > self.max_regions:
            yield f".max_regions: {self.max_regions} is less than {rows} x {columns} boxes; raise it"


class FeatureInputs(ImageInputs):
    """Precomputed features of an image's regions, from `datasets.<name>.features`."""

    implementation = "Features"
    gives = "regions"
    reads = "features"

    kind: Literal["features"] = Field(description="precomputed features of regions")
    size: Size = Field(description="numbers per region")
    max_regions: Length = Field(description="regions per image at most; further ones are left out")

    @property
    def phrase(self) -> str:
        return f"precomputed features of {self.max_regions} regions x {self.size}"

    @property
    def regions(self) -> int:
        return self.max_regions

    @property
    def feature_size(self) -> int:
        return self.size


class ExtractedInputs(ImageInputs):
    """Features of a grid over an image, made by a pretrained vision model."""

    implementation = "Extracted"
    gives = "regions"

    kind: Literal["extracted"] = Field(description="features made by a pretrained vision model")
    model: PathBelow = Field(description="its folder below AMAD_DATA, as transformers saves it")
    size: Length = Field(description="side that an image is scaled to, in pixels")
    rows: Few = Field(description="of the grid")
    columns: Few = Field(description="of the grid")

    @property
    def phrase(self) -> str:
        name = PurePosixPath(self.model).name
        return f"extracted {self.rows} x {self.columns} grid features ({name} at {self.size} px)"

    @property
    def regions(self) -> int:
        return self.rows * self.columns

    @property
    def model_folder(self) -> str:
        return self.model


class PixelInputs(ImageInputs):
    """The image as size x size pixels, cut into patch x patch squares."""

    implementation = "Pixels"
    gives = "pixels"

    kind: Literal["pixels"] = Field(description="the whole image")
    size: Length = Field(description="side that an image is scaled to, in pixels; a multiple of `patch`")
    patch: Length = Field(description="side of a patch, in pixels")
    colours: Literal["half", "clip", "imagenet"] = Field(
        default="half",
        description="half: 0..255 becomes -1..1; clip, imagenet: by the mean and spread that BLIP's "
        "checkpoints, or many a ViT's, expect",
    )

    @property
    def phrase(self) -> str:
        return f"raw {self.size} x {self.size} px in {self.patch} px patches"

    @property
    def patches(self) -> tuple[int, int]:
        return self.size, self.patch

    def problems(self) -> Iterator[str]:
        if self.size % self.patch:
            yield f".size: {self._no_multiple(self.size)}; change one of them"

    def size_problem(self, size: int) -> str:
        return f"{self._no_multiple(size)}; change it" if size % self.patch else ""

    def resized(self, size: int) -> "PixelInputs":
        return self.model_copy(update={"size": size})

    def _no_multiple(self, size: int) -> str:
        return f"{size} is no multiple of the patch size {self.patch}"


def _kind_of(inputs: type[ImageInputs]) -> str:
    return get_args(inputs.model_fields["kind"].annotation)[0]


INPUTS: dict[str, type[ImageInputs]] = {
    _kind_of(inputs): inputs for inputs in (RegionInputs, FeatureInputs, ExtractedInputs, PixelInputs)
}


@cache
def _adapter(inputs: type[ImageInputs]) -> TypeAdapter[dict[str, Any]]:
    return TypeAdapter(dict[str, inputs])  # pyright: ignore[reportInvalidTypeForm]


def _of_kind(value: Any) -> Any:
    """The inputs that a mapping says; in errors the kind stands behind their key, as a union's tag does."""
    if not isinstance(value, Mapping):
        return value
    given = cast(Mapping[Any, Any], value)
    if "kind" not in given:
        raise Problems([f".kind: missing; expected {' or '.join(INPUTS)}"])
    kind = given["kind"]
    if not isinstance(kind, str) or kind not in INPUTS:
        raise Problems([f".kind: {unknown('kind of inputs', kind, INPUTS)}"])
    return _adapter(INPUTS[kind]).validate_python({kind: given})[kind]


Inputs = Annotated[SerializeAsAny[ImageInputs], BeforeValidator(_of_kind)]
