import json
import shutil

import pytest

from amad_bench.data.datasets import READERS, read_examples
from amad_bench.plan.catalogue import DATASETS
from amad_bench.runtime.errors import UserError


def scenes(limit=None):
    return {"name": "scenes", "limit": limit}


def test_the_catalogue_and_the_readers_name_the_same_data_sets():
    assert set(READERS) == set(DATASETS)


def test_order_is_fixed_and_a_limit_takes_its_start(scenes_folder):
    every = read_examples(scenes(), "vqa", scenes_folder)
    some = read_examples(scenes({"train": 9, "validation": 5, "test": 7}), "vqa", scenes_folder)
    ids = [example.example_id for example in every["train"].examples]
    assert ids != sorted(ids)
    assert [example.example_id for example in some["train"].examples] == ids[:9]
    assert [len(source.examples) for source in some.values()] == [9, 5, 7]


def test_a_limit_of_captioning_counts_images(scenes_folder):
    some = read_examples(scenes({"train": 3, "validation": 2, "test": 1}), "captioning", scenes_folder)
    assert [len(source.examples) for source in some.values()] == [3, 2, 1]
    assert len(some["train"].examples[0].references) == 5


def test_a_limit_above_the_data_is_refused(scenes_folder):
    """160, 32 and 48 questions: four for each image."""
    exact = read_examples(scenes({"train": 160, "validation": 32, "test": 48}), "vqa", scenes_folder)
    assert [len(source.examples) for source in exact.values()] == [160, 32, 48]
    message = r"^limit\.test: 49 asked for, scenes has 48 test examples; lower it$"
    with pytest.raises(UserError, match=message):
        read_examples(scenes({"train": 160, "validation": 32, "test": 49}), "vqa", scenes_folder)


def test_splits_share_no_cluster(scenes_folder):
    for task in ("vqa", "captioning", "translation"):
        sources = read_examples(scenes(), task, scenes_folder)
        clusters = [{example.cluster_id for example in source.examples} for source in sources.values()]
        assert sum(map(len, clusters)) == len(set.union(*clusters)) == 60


def test_an_empty_split(scenes_folder, tmp_path):
    folder = tmp_path / "scenes"
    shutil.copytree(scenes_folder, folder)
    for kind in ("questions", "annotations"):
        (folder / f"{kind}_test.json").write_text(json.dumps({kind: []}))
    with pytest.raises(UserError, match="scenes: its test split has no vqa examples"):
        read_examples(scenes(), "vqa", folder)


def real(name, task, shared_data, monkeypatch):
    monkeypatch.setenv("AMAD_DATA", str(shared_data))
    return {
        split: source.examples
        for split, source in read_examples({"name": name, "limit": None}, task, shared_data).items()
    }


def by_id(examples, example_id):
    return next(example for example in examples if example.example_id == example_id)


def test_daquar(shared_data, monkeypatch):
    splits = real("daquar", "vqa", shared_data, monkeypatch)
    assert len(splits["train"]) + len(splits["validation"]) == 6795  # its README
    assert len(splits["test"]) == 5673
    images = {split: {example.image for example in examples} for split, examples in splits.items()}
    assert not images["train"] & images["validation"]
    assert not (images["train"] | images["validation"]) & images["test"]
    assert 0.05 < len(images["validation"]) / 794 < 0.15
    known = by_id(splits["train"] + splits["validation"], "3002")
    assert (known.image, known.source, known.references) == (
        "image3.jpg",
        "what is on the desk?",
        ("book, scissor, papers, tape_dispenser",),
    )


def test_flickr8k(shared_data, monkeypatch):
    splits = real("flickr8k", "captioning", shared_data, monkeypatch)
    assert {split: len(examples) for split, examples in splits.items()} == {
        "train": 6000,
        "validation": 1000,
        "test": 1000,
    }
    assert all(len(example.references) == 5 for examples in splits.values() for example in examples)
    known = by_id(splits["train"], "1000268201_693b08cb0e.jpg")
    assert known.references[1] == "A girl going into a wooden building ."


def test_multi30k(shared_data, monkeypatch):
    splits = real("multi30k", "translation", shared_data, monkeypatch)
    assert {split: len(examples) for split, examples in splits.items()} == {
        "train": 29000,
        "validation": 1014,
        "test": 1000,
    }
    # 6,993 joined train lines, 867 of them Flickr8k dev and 871 Flickr8k test photos (the README of the data)
    assert sum(example.image is not None for example in splits["train"]) == 6993 - 867 - 871
    third = by_id(splits["train"], "2")
    assert (third.image, third.cluster_id) == ("1000268201_693b08cb0e.jpg", "1000268201.jpg")
    flickr8k = real("flickr8k", "captioning", shared_data, monkeypatch)
    for split, others in (
        ("train", ("validation", "test")),
        ("validation", ("train",)),
        ("test", ("train",)),
    ):
        photos = {example.image for example in splits[split]} - {None}
        assert photos
        for other in others:
            assert not photos & {example.image for example in flickr8k[other]}


def test_a_missing_real_file(tmp_path, monkeypatch):
    monkeypatch.setenv("AMAD_DATA", str(tmp_path))
    with pytest.raises(UserError, match=r"annotations_train\.json: no such file"):
        read_examples({"name": "daquar", "limit": None}, "vqa", tmp_path)
    with pytest.raises(UserError, match=r"Flickr8k\.token\.txt: no such file"):
        read_examples({"name": "flickr8k", "limit": None}, "captioning", tmp_path)
    with pytest.raises(UserError, match=r"train\.tsv: no such file"):
        read_examples({"name": "multi30k", "limit": None}, "translation", tmp_path)
