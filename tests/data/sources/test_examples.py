import json
import shutil

import pytest

from amad_bench.data.sources.examples import data_dir, read_examples
from amad_bench.runtime.errors import UserError
from tests.data.official_tree import write_official
from tests.planned import planned_dataset


def scenes(limit=None):
    return planned_dataset("scenes", limit=limit)


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


def _two_tests(limit):
    """No config may test on `val`, the only other split of the tiny Multi30K."""
    dataset = planned_dataset("multi30k", limit=limit)
    return dataset.model_copy(update={"options": {**dataset.options, "tests": ["test_2016_flickr", "val"]}})


def test_the_tests_limit_is_for_every_test_split(monkeypatch, tmp_path):
    monkeypatch.setenv("AMAD_DATA", str(write_official(tmp_path)))
    limit = {"train": 3, "validation": 1, "test": 1}
    sources = read_examples(_two_tests(limit), "translation", tmp_path)
    assert {split: len(source.examples) for split, source in sources.items()} == limit | {"val": 1}
    limit["test"] = 2  # more than the second test has
    sources = read_examples(_two_tests(limit), "translation", tmp_path)
    assert {split: len(source.examples) for split, source in sources.items()} == limit | {"val": 1}


def test_a_data_set_that_is_only_planned_has_no_folder():
    with pytest.raises(ValueError, match="scenes: a planned data set without a hash has no folder"):
        data_dir(planned_dataset("scenes"))
