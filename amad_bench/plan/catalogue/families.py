"""Model families, and a model's shape as far as attention losses must know it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from amad_bench.plan.catalogue.options import by_name

KEEPS = ("inner_width", "head_size")  # what stays when the number of heads changes


@dataclass(frozen=True)
class Family:
    """A family of models.

    `inputs`: what it can see of an image. `sites`: by task, where attention maps can be compared. `sides`:
    parts that can have a depth, a width and heads of their own, each with its sites.
    """

    name: str
    label: str
    inputs: tuple[str, ...]
    sites: Mapping[str, tuple[str, ...]]
    keeps: tuple[str, ...]
    version: int = 1
    sides: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])

    @property
    def all_sites(self) -> tuple[str, ...]:
        """The sites of all tasks."""
        return tuple(dict.fromkeys(site for sites in self.sites.values() for site in sites))

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self.sites)

    def side_of(self, site: str) -> str:
        """The side that a site belongs to; "" in a family without sides."""
        return next((side for side, sites in self.sides.items() if site in sites), "")


_T5_SITES = ("encoder.self", "decoder.self", "decoder.cross")
FAMILIES: dict[str, Family] = by_name(
    Family(
        "vlt5",
        "VL-T5",
        ("regions", "features", "extracted"),
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
        sides={
            "vision": ("vision.self",),
            "text": ("text.self", "text.cross", "decoder.self", "decoder.cross"),
        },
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


class _Side(Protocol):
    """Sizes of a side of a canonical run config's `model`, as far as its shape goes."""

    @property
    def heads(self) -> int: ...
    @property
    def layers(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def head_size(self) -> int: ...


class _Model(Protocol):
    def side(self, name: str) -> _Side: ...


def model_shape(
    family: str, task: str, model: _Model, image_tokens: int | None = None, sites: Sequence[str] | None = None
) -> ModelShape:
    """The shape of a model; image_tokens: of `vision.self`, if known; sites: those compared (None: all)."""
    chosen = FAMILIES[family].sites[task] if sites is None else sites
    sides = {site: model.side(FAMILIES[family].side_of(site)) for site in chosen}
    return ModelShape(
        family,
        heads={site: side.heads for site, side in sides.items()},
        layers={site: side.layers for site, side in sides.items()},
        width={site: side.width for site, side in sides.items()},
        head_size={site: side.head_size for site, side in sides.items()},
        tokens={"vision.self": image_tokens} if image_tokens and "vision.self" in chosen else {},
    )
