"""Model families, and a model's shape as far as attention losses must know it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from amad_bench.plan.catalogue.options import by_name

KEEPS = ("inner_width", "head_size")  # what stays when the number of heads changes


@dataclass(frozen=True)
class Family:
    """A family of models.

    `inputs`: what it can see of an image: "regions", "pixels". `sites`: by task, where attention maps can be
    compared.
    """

    name: str
    label: str
    inputs: tuple[str, ...]
    sites: Mapping[str, tuple[str, ...]]
    keeps: tuple[str, ...]
    version: int = 1

    @property
    def all_sites(self) -> tuple[str, ...]:
        """The sites of all tasks."""
        return tuple(dict.fromkeys(site for sites in self.sites.values() for site in sites))

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self.sites)


_T5_SITES = ("encoder.self", "decoder.self", "decoder.cross")
FAMILIES: dict[str, Family] = by_name(
    Family(
        "vlt5",
        "VL-T5",
        ("regions",),
        dict.fromkeys(("vqa", "captioning", "translation"), _T5_SITES),
        KEEPS,
        version=3,
    ),
    Family(
        "blip",
        "BLIP",
        ("pixels",),
        {
            "vqa": ("vision.self", "text.self", "text.cross", "decoder.self", "decoder.cross"),
            "captioning": ("vision.self", "decoder.self", "decoder.cross"),
        },
        ("inner_width",),
        version=3,
    ),
)


@dataclass(frozen=True)
class ModelShape:
    """A model as far as attention losses must know it; every dict is keyed by site.

    tokens: queries of the sites at which they are as many as keys, and the same for all examples.
    """

    family: str
    heads: dict[str, int]
    layers: dict[str, int]
    width: dict[str, int]
    head_size: dict[str, int]
    tokens: dict[str, int] = field(default_factory=dict[str, int])


class _Sizes(Protocol):
    """A canonical run config's `model`, as far as its shape goes."""

    @property
    def heads(self) -> int: ...
    @property
    def layers(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def head_size(self) -> int: ...


def model_shape(
    family: str, task: str, model: _Sizes, image_tokens: int | None = None, sites: Sequence[str] | None = None
) -> ModelShape:
    """The shape of a model; image_tokens: of `vision.self`, if known; sites: those compared (None: all)."""
    chosen = FAMILIES[family].sites[task] if sites is None else sites
    return ModelShape(
        family,
        heads=dict.fromkeys(chosen, model.heads),
        layers=dict.fromkeys(chosen, model.layers),
        width=dict.fromkeys(chosen, model.width),
        head_size=dict.fromkeys(chosen, model.head_size),
        tokens={"vision.self": image_tokens} if image_tokens and "vision.self" in chosen else {},
    )
