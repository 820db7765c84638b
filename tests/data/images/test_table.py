import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from amad_bench.data.images.features import FeatureFiles
from amad_bench.data.images.photos import Photos
from amad_bench.data.images.table import DecodedPixels, FeatureRegions, StoredPixels, mapped
from tests.data.images.test_features import record, write_h5
from tests.data.tasks.test_loader import KINDS, table_of


def test_features_are_padded_to_the_most_regions_and_not_scaled(tmp_path):
    stored = record(regions=2)
    files = FeatureFiles([write_h5(tmp_path / "a.h5", {"0": stored})], 5, max_regions=4)
    table = FeatureRegions(["0.jpg"], files)
    assert table.feature_size == 5
    batch = table.batch(np.array([0, -1]), "cpu")
    assert batch["vis_feats"].shape == (2, 4, 5)
    assert np.array_equal(batch["vis_feats"][0, :2].numpy(), stored["features"])
    assert batch["boxes"][0, 0].tolist() == [0, 0, 1, 1]
    assert batch["vis_attention_mask"].tolist() == [[1, 1, 0, 0], [0, 0, 0, 0]]
    for name in ("vis_feats", "boxes"):
        assert batch[name].dtype == torch.float32
        assert batch[name][0, 2:].abs().sum() == batch[name][1].abs().sum() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickled_table_gives_the_same(kind, tmp_path):
    table = table_of(kind, tmp_path)
    rows = np.array([3, -1, 8, 3])
    expected = table.batch(rows, "cpu")
    copy = pickle.loads(pickle.dumps(table))
    assert all(torch.equal(tensor, expected[name]) for name, tensor in copy.batch(rows, "cpu").items())


def test_a_memory_map_is_pickled_by_its_path(tmp_path):
    np.save(tmp_path / "pixels.npy", np.zeros((50, 3, 32, 32), np.uint8))
    data = pickle.dumps(StoredPixels(["x"] * 50, mapped(tmp_path / "pixels.npy")))
    assert len(data) < 2000
    assert isinstance(pickle.loads(data).pixels_M3SS, np.memmap)


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
