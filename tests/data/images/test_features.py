import numpy as np
import pytest
import torch

from amad_bench.data.images.feature_files import FeatureFiles
from amad_bench.data.images.features import FeatureRegions, MappedFeatures
from amad_bench.data.images.prepare import load_images
from amad_bench.data.prepare import prepare
from amad_bench.data.sources.examples import prepared_folder
from amad_bench.data.tasks.batches import make_batch
from amad_bench.data.tasks.meta import images_folder
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
    assert isinstance(data.images, MappedFeatures)
    assert data.images.feature_size == 5
    assert data.facts["features"] == "precomputed features of 36 regions x 5"
    row = data.test.image_rows_N[1]
    expected = record(seed=names.index(data.images.ids[row]))["features"]
    batch = make_batch(data.test, data.images, np.array([1]), "cpu")
    assert np.array_equal(batch.inputs["vis_feats"][0, :3].numpy(), expected)
    assert batch.inputs["vis_attention_mask"].sum() == 3


def same(one, two) -> bool:
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_kept_features_are_those_of_the_files_to_the_bit(scenes_config, tmp_path, monkeypatch):
    """Whether they are arrays or read from HDF5 for each batch, and where arrays come later."""
    names = all_names(scenes_config)
    config = features_config(scenes_config, tmp_path, monkeypatch, names, limit=None)
    room = len(names) * 36 * (5 * 4 + 4 * 4 + 1)
    prepare(config, (room - 1) / 1e9)
    files = load_task_data(config).images
    assert isinstance(files, FeatureRegions)
    rows = np.array([3, -1, 0, len(names) - 1])
    expected = files.batch(rows, "cpu")
    assert expected["vis_attention_mask"].sum() == 3 * 3
    before = files.files
    prepare(config, room / 1e9)
    kept = load_task_data(config).images
    assert isinstance(kept, MappedFeatures)
    assert same(kept.batch(rows, "cpu"), expected)
    assert same(FeatureRegions(files.ids, before).batch(rows, "cpu"), expected)  # who reads them meanwhile
    (tmp_path / "data/boxes36.h5").rename(tmp_path / "data/elsewhere.h5")
    assert same(load_images(images_folder(prepared_folder(config))).batch(rows, "cpu"), expected)


def test_features_that_cannot_be_kept_leave_nothing_behind(scenes_config, tmp_path, monkeypatch):
    names = all_names(scenes_config)
    config = features_config(scenes_config, tmp_path, monkeypatch, names, limit=None)
    folder = images_folder(prepare(config, 0.0))
    before = sorted(path.name for path in folder.iterdir())
    records = {name.removesuffix(".png"): record() for name in names}
    records[names[-1].removesuffix(".png")]["features"][1, 1] = np.inf
    write_h5(tmp_path / "data" / "boxes36.h5", records)
    with pytest.raises(UserError, match=r"boxes36\.h5: image \d+: features are NaN or infinite"):
        prepare(config, 1.0)
    assert sorted(path.name for path in folder.iterdir()) == before


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
