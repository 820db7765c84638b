"""The whole image as a square: its colours, stored or decoded for each batch."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from amad_bench.data.images.photos import Photos
from amad_bench.data.images.pixels import DecodedPixels, StoredPixels, square_pixels
from amad_bench.data.prepare import prepare
from amad_bench.data.tasks.batches import make_batch
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.runtime.errors import UserError
from tests.data.images.test_regions import quarters
from tests.data.tasks.test_prepare import DATA, IMAGE, damaged
from tests.planned import PIXELS


def test_square_pixels():
    found = square_pixels(quarters(), 4)
    assert found.shape == (3, 4, 4)
    assert (found[:, 0, 0] == [255, 0, 0]).all()
    assert found[2, 3, 0] > 200
    same = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    assert np.array_equal(square_pixels(same, 4).transpose(1, 2, 0), np.asarray(same))


def test_too_many_pixels_are_decoded_for_each_batch_to_the_same_values(scenes_config):
    config = scenes_config("blip", "vqa", inputs={**PIXELS, "size": 32, "colours": "clip"})
    stored = load_task_data(config)
    shutil.rmtree(DATA / "prepared")
    room = 60 * 3 * 32 * 32
    prepare(config, (room - 1) / 1e9)
    decoded = load_task_data(config)
    assert isinstance(stored.images, StoredPixels)
    assert isinstance(decoded.images, DecodedPixels)
    assert not list(DATA.glob("prepared/images-*/*.npy"))
    rows = np.array([0, 33, 159, 5])
    one, two = (make_batch(data.train, data.images, rows, "cpu").inputs for data in (stored, decoded))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    prepare(config)  # nobody says how much room there is
    assert isinstance(load_task_data(config).images, DecodedPixels)
    prepare(config, room / 1e9)
    kept = load_task_data(config)
    assert isinstance(kept.images, StoredPixels)
    three = make_batch(kept.train, kept.images, rows, "cpu").inputs
    assert all(torch.equal(one[name], three[name]) for name in one)


def test_a_photo_that_will_be_decoded_later_is_checked_now(scenes_config, scenes_folder):
    damaged(scenes_folder, "train", IMAGE, b"")
    with pytest.raises(UserError, match=rf"images_train\.tar: {IMAGE} cannot be decoded"):
        prepare(scenes_config("blip", "vqa"), 0.0)
    assert not list((DATA / "prepared").iterdir())


@pytest.mark.trap("data-7")
@pytest.mark.parametrize(("width", "height"), [(640, 427), (300, 500), (384, 384)])
def test_clip_colours_are_those_of_transformers_blip(tmp_path, width, height):
    """Against the processor that is PIL by name: `BlipImageProcessor` is torchvision's where that is there.

    Tolerance: a few roundings of numbers up to 2.7 in float32, 1e-6; one step of a colour would be 1.4e-2.
    """
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (height // 20 + 1, width // 20 + 1, 3), np.uint8)
    photo = Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR)
    photo.save(tmp_path / "photo.png")
    expected = BlipImageProcessorPil()(photo, return_tensors="pt")["pixel_values"]
    assert expected.shape == (1, 3, 384, 384)
    table = DecodedPixels(["photo.png"], Photos([tmp_path]), 384, "clip")
    found = table.batch(np.array([0]), "cpu")["pixel_values"]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    half = DecodedPixels(["photo.png"], Photos([tmp_path]), 384, "half").batch(np.array([0]), "cpu")
    processor = BlipImageProcessorPil(image_mean=[0.5] * 3, image_std=[0.5] * 3)
    expected = processor(photo, return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(half["pixel_values"], expected, rtol=0, atol=1e-6)


def test_no_image_is_all_zeros_in_any_colours():
    for colours in ("half", "clip"):
        table = StoredPixels(["x"], np.full((1, 3, 4, 4), 255, np.uint8), colours)
        found = table.batch(np.array([-1, 0]), "cpu")["pixel_values"]
        assert found[0].abs().sum() == 0
        assert (found[1] > 0.9).all()
