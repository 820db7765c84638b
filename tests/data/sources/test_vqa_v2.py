"""VQA v2, and COCO on the same images, on a tiny copy of them (tests/data/official_tree.py)."""

import json

import pytest

from amad_bench.data.sources import vqa_v2
from amad_bench.data.sources.examples import read_examples
from amad_bench.runtime.errors import UserError
from tests.data.official_tree import COCO, IMAGES, VQA, edit_json, file_name, write_official
from tests.planned import planned_dataset


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("AMAD_DATA", str(tmp_path))
    return write_official(tmp_path)


def read(dataset, task, **options):
    return read_examples(planned_dataset(dataset.name, **dataset.options | options), task, None)


def test_vqa_questions_follow_karpathys_split(root):
    sources = read(VQA, "vqa")
    images = {split: {example.image for example in source.examples} for split, source in sources.items()}
    assert images == {
        "train": {file_name(11), file_name(12), file_name(13)},  # 13 is of val2014: restval trains
        "validation": {file_name(14)},
        "test": {file_name(15)},
    }
    assert [len(source.examples) for source in sources.values()] == [9, 3, 3]
    assert sources["test"].photos == (root / "coco/images/train2014", root / "coco/images/val2014")


@pytest.mark.usefixtures("root")
def test_answers_earn_scores_by_the_vocabulary():
    """yes is the multiple-choice answer of ten questions; each image's own number only of one."""
    by_id = {example.example_id: example for example in read(VQA, "vqa")["test"].examples}
    plain, rare = by_id["15000"], by_id["15002"]
    assert (plain.target, plain.answer_scores) == ("yes", {"yes": 1.0})
    assert plain.groups == {"answer_type": "yes/no", "question_type": "is this", "domain": "in"}
    # 4 annotators wrote "15", which no vocabulary has; 3 wrote yes: .9 is less than 1
    assert (rare.target, rare.answer_scores) == ("15", {"yes": 0.9})
    assert rare.groups["domain"] == "out"
    assert rare.references == ("15",) * 4 + ("yes",) * 3 + ("a b", "a b", "c")
    assert [source.answers for source in read(VQA, "vqa").values()] == [1, 1, 1]
    assert read(COCO, "captioning")["test"].answers is None
    assert [source.left_out for source in read(VQA, "vqa").values()] == [{}, {}, {}]


def test_the_vocabulary_may_come_from_a_file(root):
    (root / "vqa-v2/trainval_ans2label.json").write_text(json.dumps({"15": 1, "a b": 0}))
    test = read(VQA, "vqa", answers="file")["test"]
    (rare,) = (example for example in test.examples if example.example_id == "15002")
    assert test.answers == 2
    assert rare.answer_scores == {"15": 1.0, "a b": 0.6}
    assert rare.groups["domain"] == "in"


@pytest.mark.usefixtures("root")
def test_captions_follow_karpathys_split():
    sources = read(COCO, "captioning")
    ids = {split: [example.example_id for example in source.examples] for split, source in sources.items()}
    assert sorted(ids["train"]) == ["11", "12", "13"]
    assert (ids["validation"], ids["test"]) == (["14"], ["15"])
    (test,) = sources["test"].examples
    assert test.references == tuple(f"caption {number} of 15" for number in range(5))
    assert test.image == file_name(15)


@pytest.mark.parametrize(("dataset", "task"), [(VQA, "vqa"), (COCO, "captioning")])
def test_a_subset_leaves_out_images_that_the_split_file_lacks(root, dataset, task):
    edit_json(root / "coco/dataset_coco.json", lambda content: content["images"].pop(0))
    sources = read(dataset, task)
    assert {example.image for example in sources["train"].examples} == {file_name(12), file_name(13)}
    count = 3 if dataset is VQA else 1  # three questions on the image, or its captions
    assert [source.left_out for source in sources.values()] == [{"train2014": count}] * 3


@pytest.mark.trap("data-1")
@pytest.mark.parametrize(("dataset", "task"), [(VQA, "vqa"), (COCO, "captioning")])
@pytest.mark.usefixtures("root")
def test_sizes_are_asserted_unless_it_is_a_subset(dataset, task):
    with pytest.raises(
        UserError, match=r"dataset_coco\.json: 3 train images, officially 113287; .*subset: true"
    ):
        read(dataset, task, subset=False)


@pytest.fixture
def tiny_sizes(monkeypatch):
    """The sizes of the tiny copy, as if they were the official ones."""
    sizes = {"train": 3, "validation": 1, "test": 1}
    monkeypatch.setattr("amad_bench.data.sources.karpathy.IMAGES", sizes)
    monkeypatch.setattr("amad_bench.data.sources.coco.IMAGES", sizes)
    monkeypatch.setattr(vqa_v2, "_QUESTIONS_OF_PART", {"train2014": 6, "val2014": 9})
    monkeypatch.setattr(vqa_v2, "_QUESTIONS", {"train": 9, "validation": 3, "test": 3})
    monkeypatch.setattr(vqa_v2, "ANSWERS", 1)


@pytest.mark.usefixtures("root", "tiny_sizes")
def test_with_official_sizes_all_is_read():
    assert [len(source.examples) for source in read(VQA, "vqa", subset=False).values()] == [9, 3, 3]
    assert [len(source.examples) for source in read(COCO, "captioning", subset=False).values()] == [3, 1, 1]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("_QUESTIONS_OF_PART", {"train2014": 6, "val2014": 8}, "val2014_questions.json: 9 val2014 questions"),
        ("_QUESTIONS", {"train": 8, "validation": 3, "test": 3}, "dataset_coco.json: 9 train questions"),
        ("ANSWERS", 3129, "vqa-v2: 1 vocabulary answers, officially 3129"),
    ],
)
@pytest.mark.usefixtures("root", "tiny_sizes")
def test_each_official_size_counts(monkeypatch, name, value, message):
    monkeypatch.setattr(vqa_v2, name, value)
    with pytest.raises(UserError, match=message):
        read(VQA, "vqa", subset=False)


@pytest.mark.parametrize(("dataset", "task"), [(VQA, "vqa"), (COCO, "captioning")])
@pytest.mark.usefixtures("tiny_sizes")
def test_an_image_that_the_split_file_lacks_is_no_secret(root, monkeypatch, dataset, task):
    monkeypatch.setattr("amad_bench.data.sources.karpathy.IMAGES", {"train": 2, "validation": 1, "test": 1})
    edit_json(root / "coco/dataset_coco.json", lambda content: content["images"].pop(0))
    with pytest.raises(
        UserError, match=rf"its image {file_name(11)} is not in .*dataset_coco\.json; restore"
    ):
        read(dataset, task, subset=False)


@pytest.mark.usefixtures("root")
def test_no_image_is_in_two_splits():
    for dataset, task in ((VQA, "vqa"), (COCO, "captioning")):
        clusters = [
            {example.cluster_id for example in source.examples} for source in read(dataset, task).values()
        ]
        assert sum(map(len, clusters)) == len(set.union(*clusters)) == len(IMAGES)
