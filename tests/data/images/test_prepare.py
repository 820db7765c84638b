"""What a model sees of the images: made once, shared, checked, or read from files for each batch."""

import io
import json
import shutil
import tarfile

import numpy as np
import pytest
import torch
from PIL import Image

from amad_bench.data.images import prepare as prepare_images
from amad_bench.data.images.table import DecodedPixels, FeatureRegions, PatchRegions, StoredPixels
from amad_bench.data.prepare import prepare
from amad_bench.data.tasks.batches import make_batch
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.runtime.errors import UserError
from tests.data.folders import vit_folder
from tests.data.images.test_features import record, write_h5
from tests.data.tasks.test_prepare import DATA, IMAGE, TASKS, damaged
from tests.planned import GRID, PIXELS


def test_regions_are_the_boxes_of_the_file(scenes_config, scenes_folder):
    images = load_task_data(scenes_config("vlt5", "vqa")).images
    boxes = json.loads((scenes_folder / "boxes.json").read_text())
    assert isinstance(images, PatchRegions)
    assert images.features_MRF.shape == (60, 8, 192)
    assert images.region_mask_MR.all()
    for row in (0, 30, 59):
        np.testing.assert_allclose(
            images.boxes_MR4[row] * 48, boxes[str(int(images.ids[row][:12]))], atol=1e-4
        )


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


def test_boxes_that_miss_an_image_or_leave_it(scenes_config, scenes_folder):
    shutil.copytree(scenes_folder, DATA)
    boxes = json.loads((DATA / "boxes.json").read_text())
    (DATA / "boxes.json").write_text(json.dumps({**boxes, "10000007": [[0, 0, 50, 9]]}))
    with pytest.raises(UserError, match=rf"boxes\.json: a box of image {IMAGE} leaves the image"):
        prepare(scenes_config("vlt5", "vqa"))
    shares = (np.array(boxes["10000007"]) / 48).tolist()
    (DATA / "boxes.json").write_text(json.dumps({**boxes, "10000007": shares}))
    with pytest.raises(UserError, match=rf"boxes\.json: no edge .* {IMAGE} reaches 2: shares .*\(48 x 48\)"):
        prepare(scenes_config("vlt5", "vqa"))
    del boxes["10000007"]
    (DATA / "boxes.json").write_text(json.dumps(boxes))
    with pytest.raises(UserError, match=rf"boxes\.json: no boxes for image {IMAGE}"):
        prepare(scenes_config("vlt5", "vqa"))


def test_too_many_pixels_are_decoded_for_each_batch_to_the_same_values(scenes_config, monkeypatch):
    config = scenes_config("blip", "vqa", inputs={**PIXELS, "size": 32, "colours": "clip"})
    stored = load_task_data(config)
    shutil.rmtree(DATA / "prepared")
    monkeypatch.setattr(prepare_images, "STORED_PIXELS", 60 * 3 * 32 * 32 - 1)
    decoded = load_task_data(config)
    assert isinstance(stored.images, StoredPixels)
    assert isinstance(decoded.images, DecodedPixels)
    assert not list(DATA.glob("prepared/images-*/*.npy"))
    rows = np.array([0, 33, 159, 5])
    one, two = (make_batch(data.train, data.images, rows, "cpu").inputs for data in (stored, decoded))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_a_photo_that_will_be_decoded_later_is_checked_now(scenes_config, scenes_folder, monkeypatch):
    damaged(scenes_folder, "train", IMAGE, b"")
    monkeypatch.setattr(prepare_images, "STORED_PIXELS", 0)
    with pytest.raises(UserError, match=rf"images_train\.tar: {IMAGE} cannot be decoded"):
        prepare(scenes_config("blip", "vqa"))
    assert not list((DATA / "prepared").iterdir())


def features_config(scenes_config, tmp_path, monkeypatch, names: list[str], limit: dict[str, int] | None):
    """Scenes with precomputed features below AMAD_DATA: one file for the images `names`."""
    (tmp_path / "data").mkdir()
    monkeypatch.setenv("AMAD_DATA", str(tmp_path / "data"))
    records = {name.removesuffix(".png"): record(seed=i) for i, name in enumerate(names)}
    write_h5(tmp_path / "data" / "boxes36.h5", records)
    inputs = {"kind": "features", "size": 5, "max_regions": 36}
    return scenes_config("vlt5", "vqa", limit, inputs=inputs, features=["boxes36.h5"])


def all_names(scenes_config) -> list[str]:
    return list(load_task_data(scenes_config("vlt5", "vqa")).images.ids)


def test_precomputed_features(scenes_config, tmp_path, monkeypatch):
    names = all_names(scenes_config)
    limit = {"train": 6, "validation": 4, "test": 4}
    config = features_config(scenes_config, tmp_path, monkeypatch, names, limit)
    (tmp_path / "data").rename(tmp_path / "moved")
    monkeypatch.setenv("AMAD_DATA", str(tmp_path / "moved"))
    prepare(config)
    (tmp_path / "moved").rename(tmp_path / "data")  # prepared folders name files below AMAD_DATA
    monkeypatch.setenv("AMAD_DATA", str(tmp_path / "data"))
    data = load_task_data(config)
    assert isinstance(data.images, FeatureRegions)
    assert data.images.feature_size == 5
    assert data.facts["features"] == "precomputed features of 36 regions x 5"
    row = data.test.image_rows_N[1]
    expected = record(seed=names.index(data.images.ids[row]))["features"]
    batch = make_batch(data.test, data.images, np.array([1]), "cpu")
    assert np.array_equal(batch.inputs["vis_feats"][0, :3].numpy(), expected)
    assert batch.inputs["vis_attention_mask"].sum() == 3


def test_features_that_lack_an_image_or_are_broken(scenes_config, tmp_path, monkeypatch):
    names = all_names(scenes_config)
    config = features_config(scenes_config, tmp_path, monkeypatch, names[1:], limit=None)
    message = rf"questions_train\.json: question_id \d+: its image {names[0]} is not in .*boxes36\.h5; add"
    with pytest.raises(UserError, match=message):
        prepare(config)
    records = {name.removesuffix(".png"): record() for name in names}
    records[names[-1].removesuffix(".png")]["features"][1, 1] = np.nan
    write_h5(tmp_path / "data" / "boxes36.h5", records)
    with pytest.raises(UserError, match=r"boxes36\.h5: image \d+: features are NaN or infinite"):
        prepare(config)


def test_extracted_features(scenes_config, tmp_path, monkeypatch):
    """A model that was given each scene's photo: its features are those of the photo's own row."""
    vit_folder(tmp_path / "data" / "vit")
    monkeypatch.setenv("AMAD_DATA", str(tmp_path / "data"))
    limit = {"train": 3, "validation": 2, "test": 2}
    inputs = {"kind": "extracted", "model": "vit", "size": 32, "rows": 2, "columns": 2}
    data = load_task_data(scenes_config("vlt5", "captioning", limit, inputs=inputs))
    assert isinstance(data.images, FeatureRegions)
    assert data.images.feature_size == 16
    assert data.facts["features"] == "extracted 2 x 2 grid features (vit at 32 px)"
    batch = make_batch(data.train, data.images, np.arange(10), "cpu")
    assert batch.inputs["vis_feats"].shape == (10, 4, 16)
    assert batch.inputs["boxes"][0].tolist() == [
        [0, 0, 0.5, 0.5],
        [0.5, 0, 1, 0.5],
        [0, 0.5, 0.5, 1],
        [0.5, 0.5, 1, 1],
    ]
    assert (
        len({tuple(features.flatten().tolist()) for features in batch.inputs["vis_feats"]}) == 2
    )  # five captions each


def test_real_photos_with_a_grid(shared_data, scenes_config, monkeypatch):
    monkeypatch.setenv("AMAD_DATA", str(shared_data))
    limit = {"train": 30, "validation": 10, "test": 10}
    inputs = {**GRID, "rows": 2, "columns": 3, "crop": 8, "max_regions": 6}
    data = load_task_data(scenes_config("vlt5", "vqa", limit, dataset="daquar", inputs=inputs))
    assert isinstance(data.images, PatchRegions)
    row = data.test.image_rows_N[0]
    with tarfile.open(shared_data / "daquar" / "images_112.tar") as archive:
        file = archive.extractfile(data.images.ids[row])
        assert file is not None
        photo = np.asarray(Image.open(io.BytesIO(file.read())).convert("RGB"), float)
    height, width = photo.shape[0] // 2, photo.shape[1] // 3
    patches = [
        photo[i * height : (i + 1) * height, j * width : (j + 1) * width] for i in (0, 1) for j in (0, 1, 2)
    ]
    means = np.array([patch.mean(axis=(0, 1)) for patch in patches])
    np.testing.assert_allclose(data.images.features_MRF[row].reshape(6, 64, 3).mean(axis=1), means, atol=3)
