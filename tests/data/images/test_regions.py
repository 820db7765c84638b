import io
import json
import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image

from amad_bench.data.images.boxes import grid_boxes
from amad_bench.data.images.regions import PatchRegions, crop_regions
from amad_bench.data.prepare import prepare
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.runtime.errors import UserError
from tests.data.tasks.test_prepare import DATA, IMAGE
from tests.planned import GRID

COLOURS = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]


def quarters() -> Image.Image:
    """16 x 8 pixels: red, green / blue, white quarters."""
    return Image.fromarray(np.array(COLOURS, np.uint8).reshape(2, 2, 3).repeat(4, axis=0).repeat(8, axis=1))


def test_crops_hold_their_region_and_padding_is_empty():
    features, boxes, mask = crop_regions(quarters(), grid_boxes(16, 8, 2, 2), crop=4, max_regions=5)
    assert features.shape == (5, 48)
    assert features.dtype == np.uint8
    inner = features.reshape(5, 4, 4, 3)[:, 1:3, 1:3]  # the filter reaches a pixel over the edge
    assert inner[:, 0, 0].tolist() == [*COLOURS, [0, 0, 0]]
    assert (inner == inner[:, :1, :1]).all()
    halves = [[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 0.5, 1], [0.5, 0.5, 1, 1], [0, 0, 0, 0]]
    assert boxes.tolist() == halves
    assert mask.tolist() == [True] * 4 + [False]


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
