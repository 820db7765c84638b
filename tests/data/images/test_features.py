import numpy as np
import pytest
import torch

from amad_bench.data.images.feature_files import FeatureFiles
from amad_bench.data.images.features import FeatureRegions
from amad_bench.data.prepare import prepare
from amad_bench.data.tasks.batches import make_batch
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.runtime.errors import UserError
from tests.data.images.test_feature_files import record, write_h5


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
