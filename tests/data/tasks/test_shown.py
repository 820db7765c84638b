"""Examples as a person sees them: what was asked, and the photo as it lies in the data set."""

import re

import numpy as np
import pytest

from amad_bench.data.scenes.scene import make_scene, scene_of
from amad_bench.data.sources.examples import data_dir
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.data.tasks.shown import shown_examples
from amad_bench.runtime.errors import UserError


@pytest.mark.parametrize(("family", "task"), [("vlt5", "vqa"), ("blip", "captioning")])
def test_text_and_photo_are_the_examples_own(scenes_config, family, task):
    config = scenes_config(family, task)
    data = load_task_data(config)
    asked = [data.test.example_ids[row] for row in (5, 0)]
    shown = shown_examples(config, "test", asked)
    assert list(shown) == asked
    for row, example in zip((5, 0), shown.values(), strict=True):
        assert example.asked == data.tokenizer.decode(data.test.source_ids_NL[row])
        name = data.images.ids[data.test.image_rows_N[row]]
        scene = make_scene(config.dataset.options["seed"], *scene_of(name))
        assert (np.asarray(example.image) == scene.image_SS3).all()
        assert example.no_image == ""


def test_what_is_not_there_is_said(scenes_config):
    config = scenes_config("vlt5", "vqa")
    with pytest.raises(UserError, match="no prepared data of test; `amad-bench data`"):
        shown_examples(config, "test", ["1"])
    data = load_task_data(config)
    with pytest.raises(UserError, match="no example 77 in test"):
        shown_examples(config, "test", ["77"])
    example = data.test.example_ids[0]
    for photos in data_dir(config.dataset).rglob("*.tar"):
        photos.unlink()
    shown = shown_examples(config, "test", [example])[example]
    assert shown.asked
    assert shown.image is None
    assert re.match(r"image 0000\d+\.png: .*\.tar: no such file", shown.no_image)
