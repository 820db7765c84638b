import json

import pytest

from amad_bench.data.sources.karpathy import IMAGES, KarpathyImage, check_sizes, read_karpathy
from amad_bench.runtime.errors import UserError

TRAIN = {
    "cocoid": 7,
    "filepath": "train2014",
    "filename": "COCO_train2014_000000000007.jpg",
    "split": "train",
}
REST = {"cocoid": 8, "filepath": "val2014", "filename": "COCO_val2014_000000000008.jpg", "split": "restval"}


def read(folder, *images, subset=True):
    path = folder / "dataset_coco.json"
    path.write_text(json.dumps({"images": list(images)}))
    return read_karpathy(path, subset)


@pytest.mark.trap("data-1")
def test_restval_trains(tmp_path):
    assert read(tmp_path, TRAIN, REST, REST | {"cocoid": 9, "split": "val", "filename": name(9)}) == {
        7: KarpathyImage("train", "COCO_train2014_000000000007.jpg"),
        8: KarpathyImage("train", "COCO_val2014_000000000008.jpg"),
        9: KarpathyImage("validation", "COCO_val2014_000000000009.jpg"),
    }


def name(image_id):
    return f"COCO_val2014_{image_id:012d}.jpg"


def test_the_published_sizes():
    """Karpathy and Fei-Fei 2015: 5,000 images each for validation and test, all others of 123,287 train."""
    assert IMAGES == {"train": 123_287 - 2 * 5_000, "validation": 5_000, "test": 5_000}


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ((TRAIN, TRAIN), "cocoid 7 is there twice; an image belongs to one split"),
        (
            (TRAIN | {"split": "Restval"},),
            "cocoid 7: split must be .*, found 'Restval'; restore .*Did you mean 'restval'",
        ),
        ((TRAIN | {"cocoid": 7.0},), "image number 0: 'cocoid' must be a whole number, found 7.0"),
        (
            (TRAIN | {"filepath": "val2014"},),
            "cocoid 7: its file must be train2014/COCO_train.*, found val2014/",
        ),
        ((TRAIN | {"filepath": "test2014"},), "cocoid 7: its file must be"),
        (({"cocoid": 7},), "cocoid 7: key 'filepath' is missing"),
    ],
)
def test_mistakes(tmp_path, broken, message):
    with pytest.raises(UserError, match=message):
        read(tmp_path, *broken)


def test_official_sizes_are_asserted(tmp_path):
    with pytest.raises(UserError, match=r"1 train images, officially 113287; .* subset: true"):
        read(tmp_path, TRAIN, subset=False)
    check_sizes(tmp_path, "images", {"train": 2, "others": 9}, {"train": 2})
    with pytest.raises(UserError, match="0 test images, officially 1"):
        check_sizes(tmp_path, "images", {}, {"test": 1})
