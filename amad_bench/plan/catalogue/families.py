"""Model families, and a model's shape as far as attention losses must know it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from amad_bench.plan.catalogue.options import by_name

FIX = ("inner_width", "head_size")  # what stays when the number of heads changes


@dataclass(frozen=True)
class Family:
    """`inputs`: what it can see of an image. `sites`: by task, where attention maps can be compared."""

    name: str
    label: str
    inputs: tuple[str, ...]
    sites: Mapping[str, tuple[str, ...]]
    fix: tuple[str, ...]
    version: int = 1

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self.sites)


_T5_SITES = ("encoder.self", "decoder.self", "decoder.cross")
FAMILIES: dict[str, Family] = by_name(
    Family(
        "vlt5",
        "VL-T5",
        ("regions", "features", "extracted"),
        dict.fromkeys(("vqa", "captioning", "translation"), _T5_SITES),
        FIX,
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
    tokens: dict[str, int] = field(default_factory=dict)


def model_shape(
    family: str,
    task: str,
    model: Mapping[str, Any],
    inputs: Mapping[str, Any] | None = None,
    sites: Sequence[str] | None = None,
) -> ModelShape:
    """model, inputs: those parts of a canonical run config; sites: those that are compared (None: all)."""
    chosen = FAMILIES[family].sites[task] if sites is None else sites
    by_site = {
        key: dict.fromkeys(chosen, int(model[key])) for key in ("heads", "layers", "width", "head_size")
    }
    tokens = {}
    if inputs and inputs["kind"] == "pixels" and "vision.self" in chosen:
        tokens["vision.self"] = (inputs["size"] // inputs["patch"]) ** 2 + 1
    return ModelShape(family=family, tokens=tokens, **by_site)
