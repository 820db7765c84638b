import pytest

from amad_bench.data.formats.overlap import image_overlap
from amad_bench.data.formats.records import Example, SplitSource
from amad_bench.data.sources.examples import read_examples
from tests.planned import planned_dataset


def source(*clusters):
    examples = [Example(str(i), cluster, None, "q", "a", ("a",), "") for i, cluster in enumerate(clusters)]
    return SplitSource(examples, ())


def test_pairs_that_share_images():
    sources = {
        "train": source("1", "1", "2", "3"),
        "validation": source("4"),
        "test": source("3", "2", "3"),
        "more": source("5", "4"),
    }
    assert image_overlap(sources) == {"train/test": 2, "validation/more": 1}
    assert image_overlap({"train": source("1"), "test": source("2")}) == {}


@pytest.mark.trap("data-5")
def test_the_images_that_vqa_v2_subsets_train_and_test_share(shared_data, monkeypatch):
    """1,409 (the README of the data); none of them is among those held out for validation."""
    monkeypatch.setenv("AMAD_DATA", str(shared_data))
    sources = read_examples(planned_dataset("vqa_v2_subset"), "vqa", shared_data)
    assert image_overlap(sources) == {"train/test": 1409}
