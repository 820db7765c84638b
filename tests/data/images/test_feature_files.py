"""Files in the official layout, written here by h5py and numpy as the official tools write them."""

import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from amad_bench.data.images.feature_files import FeatureFiles, feature_key
from amad_bench.runtime.errors import UserError

Record = dict[str, np.ndarray]


def record(regions: int = 3, size: int = 5, seed: int = 0) -> Record:
    """An image of 200 x 100 pixels; its first box is the whole image."""
    rng = np.random.default_rng(seed)
    corners = rng.random((regions, 2)) * [100, 50]
    boxes = np.concatenate([corners, corners + np.array([90, 40])], axis=1).astype(np.float32)
    boxes[0] = [0, 0, 200, 100]
    features = rng.random((regions, size), np.float32)
    return {"features": features, "boxes": boxes, "img_h": np.array(100), "img_w": np.array(200)}


def write_h5(path: Path, records: dict[str, Record]) -> Path:
    with h5py.File(path, "w") as file:
        for key, arrays in records.items():
            group = file.create_group(key)
            for name, value in arrays.items():
                group[name] = value
            group["obj_id"] = np.zeros(3, np.int64)  # the official files hold more than is read
    return path


def write_npz(folder: Path, records: dict[str, Record]) -> Path:
    folder.mkdir()
    for key, arrays in records.items():
        np.savez(folder / f"{key}.npz", allow_pickle=False, **arrays)
    return folder


WRITERS = {"features.h5": write_h5, "features.hdf5": write_h5, "features": write_npz}


def test_keys_are_names_without_the_ending():
    assert feature_key("COCO_train2014_000000458752.jpg") == "COCO_train2014_000000458752"
    assert feature_key("1000092795.jpg") == "1000092795"


@pytest.mark.trap("data-6")
@pytest.mark.parametrize("name", WRITERS)
def test_features_and_normalised_boxes(tmp_path, name):
    stored = record()
    path = WRITERS[name](tmp_path / name, {"a": stored})
    features_RF, boxes_R4 = FeatureFiles([path], size=5, max_regions=36).read("a")
    assert np.array_equal(features_RF, stored["features"])
    assert boxes_R4[0].tolist() == [0, 0, 1, 1]
    np.testing.assert_allclose(boxes_R4, stored["boxes"] / [200, 100, 200, 100], rtol=1e-6)
    assert features_RF.dtype == boxes_R4.dtype == np.float32


@pytest.mark.trap("data-6")
def test_the_first_boxes_are_used(tmp_path):
    stored = record(regions=7)
    path = write_h5(tmp_path / "a.h5", {"a": stored})
    features_RF, boxes_R4 = FeatureFiles([path], 5, max_regions=4).read("a")
    assert np.array_equal(features_RF, stored["features"][:4])
    assert len(boxes_R4) == 4


def test_several_files(tmp_path):
    paths = [
        write_h5(tmp_path / "train.h5", {"a": record(seed=1)}),
        write_npz(tmp_path / "val", {"b": record(seed=2)}),
    ]
    files = FeatureFiles(paths, 5, 36)
    assert "a" in files
    assert "b" in files
    assert "c" not in files
    assert np.array_equal(files.read("b")[0], record(seed=2)["features"])
    with pytest.raises(UserError, match=r"train\.h5, .*val: no features of image c; add"):
        files.read("c")


def test_official_tolerance(tmp_path):
    """A box may leave the image by less than 1e-5 of it, and is clamped, as in the official code."""
    inside = record()
    inside["boxes"] = np.array([[-0.001, -0.0005, 200.001, 100.0005]] * 3, np.float64)
    outside = record()
    outside["boxes"] = np.array([[0, 0, 200, 100.01]] * 3, np.float64)
    files = FeatureFiles([write_h5(tmp_path / "a.h5", {"in": inside, "out": outside})], 5, 36)
    assert files.read("in")[1].tolist() == [[0, 0, 1, 1]] * 3
    with pytest.raises(UserError, match=r"a\.h5: image out: box \[0\.0, 0\.0, 200\.0, 100\.0.* not inside"):
        files.read("out")


@pytest.mark.parametrize("name", ["features.h5", "features"])
def test_boxes_in_shares_of_the_image(tmp_path, name):
    """Not divided by its size again: refused, or taken as they are where the image's size is 1 x 1."""
    shares = record()["boxes"] / np.array([200, 100, 200, 100], np.float32)
    stated = changed(boxes=shares, img_w=np.array(1), img_h=np.array(1))
    small = changed(boxes=shares * np.float32(0.01), img_w=np.array(1.0), img_h=np.array([1]))
    path = WRITERS[name](tmp_path / name, {"a": changed(boxes=shares), "b": stated, "c": small})
    files = FeatureFiles([path], 5, 36)
    with pytest.raises(
        UserError, match=rf"{name}: image a: no edge .* reaches 2 in an image of 200 x 100: shares"
    ):
        files.read("a")
    np.testing.assert_allclose(files.read("b")[1], shares, rtol=1e-6)
    np.testing.assert_allclose(files.read("c")[1], shares * 0.01, rtol=1e-6)


def test_boxes_in_another_order_are_found_where_they_leave_the_image(tmp_path):
    x1, y1, x2, y2 = BOXES.T
    orders = {
        "y first": changed(boxes=np.stack([y1, x1, y2, x2], axis=1)),
        "width and height": changed(boxes=np.stack([x1, y1, x2 - x1, y2 - y1], axis=1)[1:][[0, 0, 1]] + 50),
        "swapped": changed(img_w=np.array(100), img_h=np.array(200)),
        "of 1000": changed(boxes=BOXES * np.array([5, 10, 5, 10], np.float32)),
    }
    files = FeatureFiles([write_h5(tmp_path / "a.h5", orders)], 5, 36)
    for key in orders:
        with pytest.raises(
            UserError, match=rf"image {key}: box .* is not inside .*img_w x img_h = \d+ x \d+"
        ):
            files.read(key)


def test_features_of_other_precision(tmp_path):
    half = changed(features=record()["features"].astype(np.float16), boxes=BOXES.astype(np.float64))
    huge = changed(features=np.full((3, 5), 1e300))
    files = FeatureFiles([write_h5(tmp_path / "a.h5", {"half": half, "huge": huge})], 5, 36)
    assert np.array_equal(files.read("half")[0], half["features"].astype(np.float32))
    with pytest.raises(UserError, match="image huge: features are NaN or infinite"):
        files.check("huge")


@pytest.mark.parametrize("name", ["a.h5", "npz/a.npz"])
def test_a_git_lfs_pointer_is_named(tmp_path, name):
    (tmp_path / "npz").mkdir()
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 3\n")
    with pytest.raises(UserError, match=rf"{name}: a Git LFS pointer, .*; fetch that with `git lfs pull`$"):
        FeatureFiles([tmp_path / name.removesuffix("/a.npz")], 5, 36).read("a")


def changed(**arrays) -> Record:
    return {**record(), **arrays}


NAN = record()["features"].copy()
NAN[2, 1] = np.nan
INFINITE = record()["features"].copy()
INFINITE[0, 0] = np.inf
BOXES = record()["boxes"]


@pytest.mark.parametrize("name", ["features.h5", "features"])
@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (changed(features=NAN), "image a: features are NaN or infinite"),
        (changed(features=INFINITE), "image a: features are NaN or infinite"),
        (changed(features=np.zeros((3, 8), np.float32)), r"image a: .*\(3, 8\), expected .*inputs\.size"),
        (changed(features=np.zeros(5, np.float32)), r"image a: features of shape \(5,\)"),
        (changed(boxes=BOXES[:2]), r"image a: boxes of shape \(2, 4\) for 3 features"),
        (changed(features=np.zeros((0, 5)), boxes=np.zeros((0, 4))), r"image a: boxes of shape \(0, 4\)"),
        (
            changed(boxes=BOXES + np.float32(50)),
            r"image a: box \[50\.0, 50\.0, 250\.0, 150\.0\] is not inside",
        ),
        (changed(boxes=BOXES * np.float32(np.nan)), r"image a: box \[nan.* is not inside"),
        (changed(boxes=BOXES[:, [2, 1, 0, 3]]), r"image a: box \[200\.0, 0\.0, 0\.0.* x1 <= x2"),
        (changed(img_w=np.array(0)), "image a: img_w and img_h must be positive"),
        (changed(img_h=np.array([1, 2])), "image a: img_w and img_h must be positive"),
        (changed(img_w=np.array(np.inf)), "image a: img_w and img_h must be positive"),
        (changed(img_h=np.array(b"tall")), "image a: .* must hold numbers"),
        ({k: v for k, v in record().items() if k != "boxes"}, "image a: .*boxes.* it needs features, boxes"),
    ],
)
def test_broken_images(tmp_path, name, broken, message):
    path = WRITERS[name](tmp_path / name, {"a": broken, "fine": record()})
    files = FeatureFiles([path], 5, 36)
    files.check("fine")
    with pytest.raises(UserError, match=rf"{name}: {message}") as caught:
        files.check("a")
    assert "\n" not in str(caught.value)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UserError, match=r"a\.h5: no such file"):
        FeatureFiles([tmp_path / "a.h5"], 5, 36)
    (tmp_path / "a.h5").write_bytes(b"")
    with pytest.raises(UserError, match=r"a\.h5: no readable HDF5 file \(.*; restore it"):
        FeatureFiles([tmp_path / "a.h5"], 5, 36)
    whole = write_h5(tmp_path / "whole.h5", {str(i): record() for i in range(50)}).read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"cut\.h5: no readable HDF5 file"):
        FeatureFiles([tmp_path / "cut.h5"], 5, 36)
    (tmp_path / "a.tsv").write_text("")
    with pytest.raises(UserError, match=r"a\.tsv: features are \.h5 or \.hdf5 files or a folder"):
        FeatureFiles([tmp_path / "a.tsv"], 5, 36)
    folder = write_npz(tmp_path / "npz", {"a": record()})
    content = (folder / "a.npz").read_bytes()
    for damaged in (content[:-40], content[:200], b"", b"no zip"):
        (folder / "a.npz").write_bytes(damaged)
        with pytest.raises(UserError, match="npz: image a cannot be read"):
            FeatureFiles([folder], 5, 36).read("a")


def test_a_copy_for_another_process_has_no_open_file(tmp_path):
    files = FeatureFiles([write_h5(tmp_path / "a.h5", {"a": record()})], 5, 36)
    copy = pickle.loads(pickle.dumps(files))
    assert files._open
    assert not copy._open
    assert np.array_equal(copy.read("a")[0], files.read("a")[0])
    files.close()
    copy.close()


def test_a_forked_process_opens_its_own_file(tmp_path, monkeypatch):
    files = FeatureFiles([write_h5(tmp_path / "a.h5", {"a": record()})], 5, 36)
    (parents,) = files._open.values()
    monkeypatch.setattr(os, "getpid", lambda: -1)
    files.read("a")
    (own,) = files._open.values()
    assert own is not parents
    assert parents.id.valid
    files.close()
    parents.close()
