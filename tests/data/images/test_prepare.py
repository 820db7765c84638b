"""What a model sees of the images: made once, shared, checked."""

import pytest

from amad_bench.data.prepare import prepare
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.runtime.errors import UserError
from tests.data.tasks.test_prepare import DATA, IMAGE, TASKS, damaged


def test_tasks_with_the_same_images_share_them(scenes_config):
    for family, task in TASKS:
        prepare(scenes_config(family, task))
    names = [path.name for path in (DATA / "prepared").iterdir()]
    assert sum(name.startswith("images-") for name in names) == 2
    assert len(names) == 2 + len(TASKS)


def test_only_needed_images_are_decoded(scenes_config):
    data = load_task_data(scenes_config("vlt5", "captioning", {"train": 4, "validation": 2, "test": 3}))
    assert len(data.images) == 9
    assert (len(data.train), len(data.validation), len(data.test)) == (20, 2, 3)


def test_an_image_that_cannot_be_decoded(scenes_config, scenes_folder):
    damaged(scenes_folder, "train", IMAGE, b"no image")
    with pytest.raises(UserError, match=rf"images_train\.tar: {IMAGE} cannot be decoded"):
        prepare(scenes_config("blip", "vqa"))
    assert not list((DATA / "prepared").iterdir())
