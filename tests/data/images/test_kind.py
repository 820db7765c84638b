"""Kinds of image input: the plan's and those that make images, one to one."""

import importlib
import pkgutil

import pytest

import amad_bench.data.images
from amad_bench.data.images.kind import ImageKind, image_kind, implementation_of
from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.config.inputs import INPUTS, FeatureInputs, PixelInputs, RegionInputs


def test_the_same_kinds():
    """Every file with a kind of its own has a class in the plan, which names the class in that file."""
    found = {}
    for module in pkgutil.iter_modules(amad_bench.data.images.__path__):
        name = f"amad_bench.data.images.{module.name}"
        members = vars(importlib.import_module(name)).values()
        classes = [m for m in members if isinstance(m, type) and issubclass(m, ImageKind)]
        own = [cls.__name__ for cls in classes if cls.__module__ == name]
        if own and module.name != "kind":
            found[module.name] = own
    assert found == {kind: [inputs.implementation] for kind, inputs in INPUTS.items()}
    assert [implementation_of(kind).__name__ for kind in found] == [name for (name,) in found.values()]


def test_every_kind_is_seen_by_some_family():
    seen = {form for family in FAMILIES.values() for form in family.inputs}
    assert {inputs.gives for inputs in INPUTS.values()} == seen


@pytest.mark.parametrize(
    ("inputs", "numbers"),
    [
        (RegionInputs(kind="regions", boxes="file", crop=4, max_regions=8), 48),
        (FeatureInputs(kind="features", size=2048, max_regions=36), 2048),
        (PixelInputs(kind="pixels", size=16, patch=8), None),
    ],
)
def test_numbers_per_region(inputs, numbers):
    assert image_kind(inputs).feature_size() == numbers
