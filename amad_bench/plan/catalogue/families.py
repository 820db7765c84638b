"""Model families, and a model's shape as far as attention losses must know it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from amad_bench.plan.catalogue.costs import blip_cost, vlt5_cost
from amad_bench.plan.catalogue.family import Family, FamilyPretraining, FamilyTask, FamilyTokens, Need
from amad_bench.plan.catalogue.options import OptionSpec, by_name

KEEPS = ("inner_width", "head_size")  # what stays when the number of heads changes


_T5_SITES = ("encoder.self", "decoder.self", "decoder.cross")
# T5's <extra_id_99> to <extra_id_0>, and VL-T5's <vis_extra_id_99> to <vis_extra_id_0>: in this order behind
# the other entries, so that region i has the row V - 1 - i of a table of V.
_SENTINELS = tuple(f"<extra_id_{i}>" for i in reversed(range(100)))
_REGIONS = tuple(f"<vis_extra_id_{i}>" for i in reversed(range(100)))
_TEXT_PARTS = {"captions": "captions", "questions": "questions"}

# The prompts, tasks and prefixes of pre-training are those of the official code (j-min/VL-T5).
VLT5 = Family(
    "vlt5",
    "VL-T5",
    "Vlt5Models",
    ("regions",),
    {
        "vqa": FamilyTask(_T5_SITES, "vqa: {}", draws_answers=True),
        "captioning": FamilyTask(_T5_SITES, "caption:"),
        "translation": FamilyTask(_T5_SITES, "translate English to {language}: {}"),
    },
    KEEPS,
    {
        "text": FamilyPretraining(_TEXT_PARTS),
        "vl": FamilyPretraining(
            # each caption once for `lm` and once for `itm`, as in the official data set
            {
                "lm": "captions",
                "qa": "questions",
                "itm": "captions",
                "ground_caption": "phrases",
                "refer": "phrases",
            },
            {
                "lm": "span prediction:",
                "qa": "vqa:",
                "itm": "image text match:",
                "ground_caption": "caption region:",
                "refer": "visual grounding:",
            },
            ("true", "false"),
            here=(
                Need("order_embedding", True, "`vl` needs it: visual grounding names a region by its number"),
                Need("inputs.boxes", "file", "`vl` is trained on boxes of objects"),
            ),
            elsewhere=(
                Need("order_embedding", True, "the `vl` weights of VL-T5 need it"),
                Need("box_area", "official", "the `vl` weights of VL-T5 need its own area of a box"),
            ),
        ),
    },
    {
        "order_embedding": OptionSpec(
            bool, False, description="whether regions carry their number, as in the official model"
        ),
        "box_area": OptionSpec(
            str,
            "true",
            ("official", "true"),
            description="official: as its checkpoints need it, a quirk; true: the area of a box",
        ),
    },
    FamilyTokens(_SENTINELS, _REGIONS, wanted_by="order_embedding"),
    cost=vlt5_cost,
    version=3,
)
BLIP = Family(
    "blip",
    "BLIP",
    "BlipModels",
    ("pixels",),
    {
        "vqa": FamilyTask(
            ("vision.self", "text.self", "text.cross", "decoder.self", "decoder.cross"),
            "{}",
            with_start=True,
            ranks=True,
        ),
        "captioning": FamilyTask(
            ("vision.self", "decoder.self", "decoder.cross"), "a picture of", continued=True
        ),
    },
    ("inner_width",),
    {
        "text": FamilyPretraining(_TEXT_PARTS),
        "vl": FamilyPretraining(
            {"captions": "captions"},
            contrasts=True,
            options={
                "momentum_distillation": OptionSpec(
                    bool,
                    False,
                    description="whether targets are softened by a slowly moving copy of the model",
                )
            },
            elsewhere=(Need("inputs.colours", "clip", "the `vl` weights of BLIP need its own scale"),),
        ),
    },
    {
        "token_types": OptionSpec(
            str,
            "added",
            ("added", "dropped"),
            description="of a BERT that it starts from: the first token type is added to the positions, as "
            "BERT does; or dropped, as in the official start",
        )
    },
    # as in the official code (salesforce/BLIP, models/blip.py)
    tokens=FamilyTokens(starts=("[DEC]", "[ENC]"), mask="<mask>"),
    sides={
        "vision": ("vision.self",),
        "text": ("text.self", "text.cross", "decoder.self", "decoder.cross"),
    },
    weights_by_task=True,
    # Each is learned, so that models that share weights need equally many: BERT's, else enough for most.
    positions=(64, 512),
    cost=blip_cost,
    version=3,
)
FAMILIES: dict[str, Family] = by_name(VLT5, BLIP)


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
