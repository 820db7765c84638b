import gzip
import io
import json
import multiprocessing
import shutil
import tarfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from amad_bench.data.prepare import load_task_data, prepare
from amad_bench.data.scenes import make_scene
from amad_bench.data.tokenizer import EOS
from amad_bench.runtime.errors import UserError

TASKS = [
    ("vlt5", "vqa"),
    ("vlt5", "captioning"),
    ("vlt5", "translation"),
    ("blip", "vqa"),
    ("blip", "captioning"),
]
DATA = Path("results/data/scenes-01234567")


@pytest.mark.parametrize(("family", "task"), TASKS)
def test_examples_come_back_as_text(scenes_config, scenes_folder, family, task):
    data = load_task_data(scenes_config(family, task))
    decode = data.tokenizer.decode
    for split in (data.train, data.validation, data.test):
        assert len(split) == len(split.cluster_ids) == len(split.references) == len(split.image_rows_N)
        assert split.source_ids_NL.dtype == split.target_ids_NL.dtype == np.int64
        assert len(set(split.example_ids)) == len(split)
    lengths = {
        (split.source_ids_NL.shape[1], split.target_ids_NL.shape[1]) for split in (data.train, data.test)
    }
    assert len(lengths) == 1
    prefix = {"vlt5vqa": "vqa: ", "vlt5translation": "translate English to German: ", "blipvqa": ""}
    if task == "captioning":
        expected = "caption:" if family == "vlt5" else "a picture of"
        assert {decode(ids) for ids in data.test.source_ids_NL} == {expected}
    else:
        assert all(decode(ids).startswith(prefix[family + task]) for ids in data.test.source_ids_NL)
    for split in (data.train, data.test):
        for ids, references in zip(split.target_ids_NL, split.references, strict=True):
            assert decode(ids) in references


def test_eos_ends_every_source_but_blips_prompt_and_every_target(scenes_config):
    for family, task in TASKS:
        test = load_task_data(scenes_config(family, task)).test
        with_eos = (test.source_ids_NL == EOS).sum(axis=1)
        assert set(with_eos.tolist()) == ({0} if (family, task) == ("blip", "captioning") else {1})
        last = test.target_ids_NL[np.arange(len(test)), (test.target_ids_NL != 0).sum(axis=1) - 1]
        assert set(last.tolist()) == {EOS}


def test_known_question(scenes_config, scenes_folder):
    data = load_task_data(scenes_config("blip", "vqa"))
    record = json.loads((scenes_folder / "questions_test.json").read_text())["questions"][5]
    answers = json.loads((scenes_folder / "annotations_test.json").read_text())["annotations"][5]
    row = data.test.example_ids.index(str(record["question_id"]))
    assert data.tokenizer.decode(data.test.source_ids_NL[row]) == record["question"]
    assert data.test.references[row] == [answer["answer"] for answer in answers["answers"]]
    assert data.test.cluster_ids[row] == str(record["image_id"])
    assert data.images.ids[data.test.image_rows_N[row]] == f"{record['image_id']:012d}.png"
    assert data.images.pixels_M3SS is not None
    image = data.images.pixels_M3SS[data.test.image_rows_N[row]]
    assert np.array_equal(image.transpose(1, 2, 0), make_scene(0, "test", 1).image_SS3)


def test_captioning_trains_on_each_caption_and_is_scored_per_image(scenes_config):
    data = load_task_data(scenes_config("vlt5", "captioning"))
    assert (len(data.train), len(data.test)) == (5 * 40, 12)
    assert len(data.test.references[0]) == 5
    assert len(data.train.references[0]) == 1
    assert [name.split("#")[1] for name in data.train.example_ids[:5]] == list("01234")
    assert len(set(data.train.cluster_ids[:5])) == 1
    chosen = [
        references.index(data.tokenizer.decode(ids))
        for ids, references in zip(data.test.target_ids_NL, data.test.references, strict=True)
    ]
    assert len(set(chosen)) > 1  # validation must not know one wording only


def test_regions_are_the_boxes_of_the_file(scenes_config, scenes_folder):
    images = load_task_data(scenes_config("vlt5", "vqa")).images
    boxes = json.loads((scenes_folder / "boxes.json").read_text())
    assert images.boxes_MR4 is not None
    assert images.region_mask_MR is not None
    assert images.features_MRF is not None
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


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_preparing_again_changes_nothing_and_from_scratch_gives_equal_bytes(scenes_config):
    config = scenes_config("vlt5", "translation")
    folder = prepare(config)
    first = contents(DATA)
    stamp = (folder / "train.json").stat().st_mtime_ns
    assert prepare(config) == folder
    assert (folder / "train.json").stat().st_mtime_ns == stamp
    shutil.rmtree("results")
    prepare(config)
    assert contents(DATA) == first


def test_another_input_vocabulary_or_limit_is_another_folder(scenes_config):
    config = scenes_config("vlt5", "vqa")
    others = [
        config,
        {**config, "inputs": {**config["inputs"], "crop": 4}},
        {**config, "tokenizer": {"vocabulary": 140}},
        scenes_config("vlt5", "vqa", {"train": 5, "validation": 5, "test": 5}),
    ]
    assert len({prepare(other) for other in others}) == 4


def test_two_processes_at_once(scenes_config):
    config = scenes_config("vlt5", "vqa")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        one, two = pool.map(prepare, [config, config])
    assert one == two
    assert len(load_task_data(config).train) == 160
    assert not [path for path in DATA.parent.rglob("*") if path.name.endswith(".tmp")]


def damaged(scenes_folder: Path, split: str, name: str, content: bytes | None) -> None:
    """The scenes folder as it would be after `name` was dropped from, or replaced in, a split's archive."""
    shutil.copytree(scenes_folder, DATA)
    path = DATA / f"images_{split}.tar"
    with tarfile.open(scenes_folder / f"images_{split}.tar") as source, tarfile.open(path, "w") as target:
        for member in source.getmembers():
            file = source.extractfile(member)
            assert file is not None
            data = file.read()
            if member.name == name:
                if content is None:
                    continue
                data = content
                member.size = len(data)
            target.addfile(member, io.BytesIO(data))


IMAGE = "000010000007.png"


def test_a_question_without_its_image(scenes_config, scenes_folder):
    damaged(scenes_folder, "train", IMAGE, None)
    record = r"questions_train\.json: question_id 10000007\d"
    message = rf"{record}: its image {IMAGE} is not in .*images_train\.tar; add"
    with pytest.raises(UserError, match=message):
        prepare(scenes_config("vlt5", "vqa"))
    assert not (DATA / "prepared").exists() or not list((DATA / "prepared").iterdir())


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
    del boxes["10000007"]
    (DATA / "boxes.json").write_text(json.dumps(boxes))
    with pytest.raises(UserError, match=rf"boxes\.json: no boxes for image {IMAGE}"):
        prepare(scenes_config("vlt5", "vqa"))


def test_text_without_photos(scenes_config, tmp_path, monkeypatch):
    """Multi30K where no line has a photo: an empty image table, and rows -1."""
    root = tmp_path / "data" / "multi30k"
    for folder in ("raw", "image_splits", "join_flickr8k"):
        (root / folder).mkdir(parents=True)
    for split in ("train", "val", "test_2016_flickr"):
        (root / "raw" / f"{split}.en.gz").write_bytes(gzip.compress(b"A dog.\nA cat.\n"))
        (root / "raw" / f"{split}.de.gz").write_bytes(gzip.compress(b"Ein Hund.\nEine Katze.\n"))
        (root / "image_splits" / f"{split}.txt").write_text("1.jpg\n2.jpg\n")
        (root / "join_flickr8k" / f"{split}.tsv").write_text(
            "line_0based\tmulti30k_image\tflickr8k_image\tflickr8k_split\n"
        )
    (tmp_path / "data" / "flickr8k").mkdir()
    with tarfile.open(tmp_path / "data" / "flickr8k" / "images_112.tar", "w"):
        pass
    monkeypatch.setenv("AMAD_DATA", str(tmp_path / "data"))
    config = scenes_config("vlt5", "translation")
    config["dataset"] = {"name": "multi30k", "options": {}, "limit": None, "hash": "f" * 16, "version": 1}
    config["inputs"] = {
        "kind": "regions",
        "boxes": "grid",
        "rows": 2,
        "columns": 2,
        "crop": 4,
        "max_regions": 4,
    }
    data = load_task_data(config)
    assert data.train.image_rows_N.tolist() == [-1, -1]
    assert len(data.images) == 0
    assert data.images.features_MRF is not None
    assert data.images.features_MRF.shape == (0, 4, 48)


def test_real_photos_with_a_grid(shared_data, scenes_config, monkeypatch):
    monkeypatch.setenv("AMAD_DATA", str(shared_data))
    config = scenes_config("vlt5", "vqa")
    limit = {"train": 30, "validation": 10, "test": 10}
    config["dataset"] = {"name": "daquar", "options": {}, "limit": limit, "hash": "d" * 16, "version": 1}
    config["inputs"] = {
        "kind": "regions",
        "boxes": "grid",
        "rows": 2,
        "columns": 3,
        "crop": 8,
        "max_regions": 6,
    }
    data = load_task_data(config)
    assert data.images.features_MRF is not None
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
