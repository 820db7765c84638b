"""Features of tiny random models, held against the models' own outputs."""

import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import ResNetModel, ViTModel
from transformers.models.auto.image_processing_auto import AutoImageProcessor
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from amad_bench.data.images.extracted import extract_features, load_extractor
from amad_bench.data.images.feature_files import FeatureFiles
from amad_bench.data.images.features import MappedFeatures
from amad_bench.data.images.photos import Photos
from amad_bench.data.tasks.batches import make_batch
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.plan.config.inputs import ExtractedInputs
from amad_bench.runtime.errors import UserError
from tests.data.folders import resnet_folder, vit_folder

NAMES = ["a.png", "b.jpg"]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two photos, one wide and one high, and two vision models."""
    root = tmp_path_factory.mktemp("extract")
    rng = np.random.default_rng(0)
    (root / "photos").mkdir()
    for name, (width, height) in zip(NAMES, [(64, 40), (33, 50)], strict=True):
        photo = Image.fromarray(rng.integers(0, 256, (height, width, 3), np.uint8))
        photo.save(root / "photos" / name)
    vit_folder(root / "vit")
    resnet_folder(root / "resnet")
    return root


def extracted(size=32, rows=2, columns=2) -> ExtractedInputs:
    return ExtractedInputs(kind="extracted", model="not read", size=size, rows=rows, columns=columns)


def extract(folders, model, path, **inputs) -> int:
    with Photos([folders / "photos"]) as photos:
        return extract_features(path, folders / model, extracted(**inputs), photos, NAMES, CPU)


def pixels_of(folders, name: str, size: int) -> torch.Tensor:
    """By the model's own image processor."""
    processor = ViTImageProcessorPil.from_pretrained(folders / "vit", size={"height": size, "width": size})
    with Image.open(folders / "photos" / name) as image:
        return processor(image.convert("RGB"), return_tensors="pt")["pixel_values"]


def test_vit_patches_without_cls_in_quarters(folders, tmp_path):
    """4 x 4 patches to 2 x 2: each feature is the mean of four patches next to each other."""
    assert extract(folders, "vit", tmp_path / "a.h5") == 16
    model = ViTModel.from_pretrained(folders / "vit").eval()
    files = FeatureFiles([tmp_path / "a.h5"], 16, 4)
    for name in NAMES:
        with torch.no_grad():
            hidden = model(pixel_values=pixels_of(folders, name, 32)).last_hidden_state
        patches = hidden[0, 1:].reshape(2, 2, 2, 2, 16)  # row, row inside, column, column inside
        expected = patches.mean(dim=(1, 3)).reshape(4, 16).numpy()
        np.testing.assert_allclose(files.read(name[0])[0], expected, atol=1e-5)
    assert not np.allclose(files.read("a")[0], files.read("b")[0], atol=1e-2)
    files.close()


def test_the_map_of_a_convolutional_network(folders, tmp_path):
    assert extract(folders, "resnet", tmp_path / "a.h5", size=64, rows=4, columns=8) == 12
    model = ResNetModel.from_pretrained(folders / "resnet").eval()
    with torch.no_grad():
        hidden = model(pixel_values=pixels_of(folders, "a.png", 64)).last_hidden_state
    assert hidden.shape == (1, 12, 8, 8)
    expected = hidden[0].reshape(12, 4, 2, 8).mean(dim=2).flatten(1).T.numpy()
    files = FeatureFiles([tmp_path / "a.h5"], 12, 32)
    np.testing.assert_allclose(files.read("a")[0], expected, atol=1e-5)
    files.close()


def test_the_official_layout(folders, tmp_path):
    extract(folders, "vit", tmp_path / "a.h5", rows=1, columns=2)
    with h5py.File(tmp_path / "a.h5") as file:
        assert list(file) == ["a", "b"]
        assert {name: file["b"][name].shape for name in file["b"]} == {
            "features": (2, 16),
            "boxes": (2, 4),
            "img_h": (),
            "img_w": (),
        }
        assert (file["b/img_w"][()], file["b/img_h"][()]) == (33, 50)
        assert file["b/boxes"][()].tolist() == [[0, 0, 16.5, 50], [16.5, 0, 33, 50]]
        assert file["b/features"].dtype == file["b/boxes"].dtype == np.float32


def test_extracting_again_gives_equal_bytes_and_the_global_generator_is_untouched(folders, tmp_path):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    for name in ("a.h5", "b.h5"):
        extract(folders, "vit", tmp_path / name)
    assert torch.equal(torch.rand(3), expected)
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_models_that_cannot_be_used(folders, tmp_path):
    path = tmp_path / "a.h5"
    with pytest.raises(UserError, match=r"nothing: no such folder; put .*inputs\.model"):
        extract(folders, "nothing", path)
    with pytest.raises(
        UserError,
        match=r"photos: a vision model .* cannot be loaded from it: found no file for it, not found config",
    ):
        extract(folders, "photos", path)
    with pytest.raises(UserError, match=r"vit: gives no features of 48 px images \(.*inputs\.size"):
        extract(folders, "vit", path, size=48)
    with pytest.raises(UserError, match=r"vit: its map is 4 x 4, smaller than .* \(2 x 5\)"):
        extract(folders, "vit", path, columns=5)
    assert list(tmp_path.iterdir()) == []


def test_weights_that_are_not_all_there(folders, tmp_path):
    """Else transformers would fill them with random numbers and only warn."""
    vit_folder(tmp_path / "vit")
    config = json.loads((tmp_path / "vit" / "config.json").read_text())
    (tmp_path / "vit" / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 2}))
    with pytest.raises(UserError, match=r"vit: the checkpoint lacks .*layer.*; restore"):
        extract(folders, tmp_path / "vit", tmp_path / "a.h5")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_mean": [123.7, 116.3, 103.5]}, "image_mean must be from 0 to 1, as white is"),
        ({"image_mean": [0.5, -0.1, 0.5]}, "image_mean must be from 0 to 1, as white is"),
        ({"image_std": [0.2, 0.0, 0.2]}, "image_std above 0"),
        ({"image_processor_type": "MobileViTImageProcessor"}, "do_flip_channel_order is not done here"),
        (
            {"image_processor_type": "EfficientNetImageProcessor", "rescale_offset": True},
            "rescale_offset is not done here",
        ),
    ],
)
def test_colours_in_other_units_or_another_order(folders, tmp_path, change, message):
    vit_folder(tmp_path / "vit")
    path = tmp_path / "vit" / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(UserError, match=rf"preprocessor_config\.json: .*{message}"):
        extract(folders, tmp_path / "vit", tmp_path / "a.h5")


def test_colours_that_stay_whole_numbers(folders, tmp_path):
    """Without rescaling, mean and spread are of 0 to 255: the same features."""
    vit_folder(tmp_path / "vit")
    path = tmp_path / "vit" / "preprocessor_config.json"
    config = json.loads(path.read_text())
    whole = {key: [255 * value for value in config[key]] for key in ("image_mean", "image_std")}
    extract(folders, "vit", tmp_path / "a.h5")
    path.write_text(json.dumps({**config, **whole, "do_rescale": False}))
    extract(folders, tmp_path / "vit", tmp_path / "b.h5")
    found = [FeatureFiles([tmp_path / name], 16, 4).read("a")[0] for name in ("a.h5", "b.h5")]
    np.testing.assert_allclose(*found, atol=1e-5)


def test_weights_of_another_size(folders, tmp_path):
    vit_folder(tmp_path / "vit")
    config = json.loads((tmp_path / "vit" / "config.json").read_text())
    (tmp_path / "vit" / "config.json").write_text(json.dumps({**config, "hidden_size": 24}))
    with pytest.raises(
        UserError, match=r"vit: weight embeddings\.cls_token has .*16\), config\.json says .*24\)"
    ):
        extract(folders, tmp_path / "vit", tmp_path / "a.h5")


@pytest.mark.parametrize("size", [0, 500])
def test_damaged_weights(folders, tmp_path, size):
    vit_folder(tmp_path / "vit")
    os.truncate(tmp_path / "vit" / "model.safetensors", size)
    with pytest.raises(
        UserError, match=r"vit: a vision model .* cannot be loaded .*header.*; found config\.json"
    ):
        extract(folders, tmp_path / "vit", tmp_path / "a.h5")


@pytest.mark.trap("data-7")
def test_the_image_processor_is_pils_by_name(folders, tmp_path, monkeypatch):
    """Not by falling back to it: with torchvision installed, transformers would take torchvision's."""
    asked = []
    original = AutoImageProcessor.from_pretrained

    def watched(*args, **options):
        asked.append(options.get("backend"))
        return original(*args, **options)

    monkeypatch.setattr(AutoImageProcessor, "from_pretrained", watched)
    extract(folders, "vit", tmp_path / "a.h5")
    assert asked == ["pil"]


@pytest.mark.parametrize("mean", [None, [0.5], "grey"])
def test_an_image_processor_without_three_means(folders, tmp_path, mean):
    vit_folder(tmp_path / "vit")
    path = tmp_path / "vit" / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "image_mean": mean}))
    with pytest.raises(
        UserError, match=r"vit: a vision model with its image processor .* cannot be loaded"
    ) as caught:
        extract(folders, tmp_path / "vit", tmp_path / "a.h5")
    assert "\n" not in str(caught.value)


def test_nothing_is_said_of_a_pooler_that_is_not_used(folders, tmp_path, capsys):
    vit_folder(tmp_path / "vit")
    ViTModel.from_pretrained(tmp_path / "vit", add_pooling_layer=False).save_pretrained(tmp_path / "vit")
    capsys.readouterr()
    extract(folders, tmp_path / "vit", tmp_path / "a.h5")
    assert "pooler" not in capsys.readouterr().err


def test_a_shard_that_git_lfs_has_not_fetched_is_named(tmp_path):
    vit_folder(tmp_path / "vit")
    (tmp_path / "vit" / "model.safetensors").rename(tmp_path / "vit" / "one.safetensors")
    index = {"metadata": {"total_size": 1}, "weight_map": {"embeddings.cls_token": "one.safetensors"}}
    (tmp_path / "vit" / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "vit" / "one.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(UserError, match=r"one\.safetensors: a Git LFS pointer"):
        load_extractor(tmp_path / "vit", extracted(rows=1, columns=1), CPU)


def test_extracted_features(scenes_config, tmp_path, monkeypatch):
    """A model that was given each scene's photo: its features are those of the photo's own row."""
    vit_folder(tmp_path / "data" / "vit")
    monkeypatch.setenv("AMAD_DATA", str(tmp_path / "data"))
    limit = {"train": 3, "validation": 2, "test": 2}
    inputs = {"kind": "extracted", "model": "vit", "size": 32, "rows": 2, "columns": 2}
    data = load_task_data(scenes_config("vlt5", "captioning", limit, inputs=inputs))
    assert isinstance(data.images, MappedFeatures)
    assert not list(Path("results").rglob("features.h5"))
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
