"""Kinds of image input: what a model sees of an image."""

from typing import Annotated, Literal

from pydantic import Field

from amad_bench.plan.config.base import Closed, PathBelow
from amad_bench.plan.config.numbers import Few, Length, Size


class RegionInputs(Closed):
    """Boxes of an image, each as crop x crop RGB pixels."""

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


class FeatureInputs(Closed):
    """Precomputed features of an image's regions, from `datasets.<name>.features`."""

    kind: Literal["features"] = Field(description="precomputed features of regions")
    size: Size = Field(description="numbers per region")
    max_regions: Length = Field(description="regions per image at most; further ones are left out")


class ExtractedInputs(Closed):
    """Features of a grid over an image, made by a pretrained vision model."""

    kind: Literal["extracted"] = Field(description="features made by a pretrained vision model")
    model: PathBelow = Field(description="its folder below AMAD_DATA, as transformers saves it")
    size: Length = Field(description="side that an image is scaled to, in pixels")
    rows: Few = Field(description="of the grid")
    columns: Few = Field(description="of the grid")

    @property
    def max_regions(self) -> int:
        return self.rows * self.columns


class PixelInputs(Closed):
    """The image as size x size pixels, cut into patch x patch squares."""

    kind: Literal["pixels"] = Field(description="the whole image")
    size: Length = Field(description="side that an image is scaled to, in pixels; a multiple of `patch`")
    patch: Length = Field(description="side of a patch, in pixels")
    colours: Literal["half", "clip", "imagenet"] = Field(
        default="half",
        description="half: 0..255 becomes -1..1; clip, imagenet: by the mean and spread that BLIP's "
        "checkpoints, or many a ViT's, expect",
    )

    @property
    def tokens(self) -> int:
        """Patches of an image, and one more for all of it."""
        return (self.size // self.patch) ** 2 + 1


Inputs = Annotated[RegionInputs | FeatureInputs | ExtractedInputs | PixelInputs, Field(discriminator="kind")]
