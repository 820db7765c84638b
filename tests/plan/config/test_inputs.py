"""Kinds of image input as a config says them."""

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from amad_bench.plan.config.inputs import INPUTS, Inputs, PixelInputs, RegionInputs


class Seen(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)
    inputs: Inputs


PIXELS = PixelInputs(kind="pixels", size=48, patch=8)
VALUES: list[dict[str, Any]] = [
    {"kind": "regions", "boxes": "grid", "crop": 4, "max_regions": 6, "rows": 2, "columns": 3},
    {"kind": "features", "size": 5, "max_regions": 36},
    {"kind": "extracted", "model": "vit", "size": 32, "rows": 2, "columns": 3},
    {"kind": "pixels", "size": 48, "patch": 8, "colours": "clip"},
]


@pytest.mark.parametrize("value", VALUES)
def test_a_mapping_becomes_its_kind_and_back(value: dict[str, Any]) -> None:
    seen = Seen(inputs=value)  # pyright: ignore[reportArgumentType]
    assert type(seen.inputs) is INPUTS[value["kind"]]
    assert seen.model_dump()["inputs"] == value
    assert Seen.model_validate_json(seen.model_dump_json()) == seen
    assert Seen(inputs=seen.inputs) == seen


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"size": 48}, ".kind: missing; expected regions or features or extracted or pixels"),
        ({"kind": "pixel"}, ".kind: unknown kind of inputs 'pixel'. Did you mean 'pixels'?"),
        ({"kind": ["pixels"]}, ".kind: unknown kind of inputs ['pixels']."),
        (3, ": expected a mapping (key: value), found 3"),
        ({"kind": "pixels", "size": 48, "patch": "x"}, ".patch: expected a whole number, found the text 'x'"),
        ({"kind": "pixels", "size": 48, "path": 8}, ".path: unknown key. Did you mean 'patch'?"),
        (
            {"kind": "pixels", "size": 48, "patch": 8, "rows": 2},
            ".rows: unknown key. Known keys: kind, ",
        ),
    ],
)
def test_mistakes_name_the_key_without_the_kind(raw, errors, inputs: Any, message: str) -> None:
    raw["models"]["blip"]["inputs"] = inputs
    assert any(line.startswith(f"models.blip.inputs{message}") for line in errors(raw)), errors(raw)


def test_what_the_plan_asks_of_them() -> None:
    regions = RegionInputs(kind="regions", boxes="file", crop=8, max_regions=36)
    assert (regions.regions, regions.feature_size, regions.tokens) == (36, 192, None)  # 8 x 8 pixels of 3
    assert (PIXELS.regions, PIXELS.feature_size, PIXELS.tokens) == (None, None, 37)  # 6 x 6 patches and CLS
    assert (regions.patches, PIXELS.patches) == (None, (48, 8))
    features, extracted = (INPUTS[value["kind"]](**value) for value in VALUES[1:3])
    assert (features.regions, features.feature_size, features.reads) == (36, 5, "features")
    assert (extracted.regions, extracted.feature_size, extracted.reads) == (6, None, "photos")
    assert (extracted.model_folder, features.model_folder) == ("vit", None)
    assert [inputs.needs_boxes for inputs in (regions, features, extracted, PIXELS)] == [True] + [False] * 3


def test_another_image_size() -> None:
    assert PIXELS.size_problem(50) == "50 is no multiple of the patch size 8; change it"
    assert (PIXELS.size_problem(96), PIXELS.resized(96).size) == ("", 96)
