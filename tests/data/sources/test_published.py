"""The real data sets: what their README states, and that nothing leaks from one split into another."""

import pytest

from amad_bench.data.images.photos import Photos
from amad_bench.data.sources.examples import read_examples
from amad_bench.runtime.errors import UserError
from tests.planned import planned_dataset

TESTS = ["test_2016_flickr", "test_2017_flickr", "test_2017_mscoco", "test_2018_flickr"]
MULTI30K = {"language": "de", "tests": TESTS[:1], "photos": "flickr8k"}


@pytest.fixture
def real(shared_data, monkeypatch):
    """real(name, task, options) -> split -> its examples."""
    monkeypatch.setenv("AMAD_DATA", str(shared_data))

    def read(name, task, **options):
        sources = read_examples(planned_dataset(name, **options), task, shared_data)
        return {split: source.examples for split, source in sources.items()}

    return read


def sizes(splits):
    return {split: len(examples) for split, examples in splits.items()}


def images(splits):
    return {split: {example.image for example in examples} - {None} for split, examples in splits.items()}


def by_id(examples, example_id):
    return next(example for example in examples if example.example_id == example_id)


def test_daquar(real):
    splits = real("daquar", "vqa")
    assert len(splits["train"]) + len(splits["validation"]) == 6795
    assert len(splits["test"]) == 5673
    photos = images(splits)
    assert len(photos["train"] | photos["validation"]) == 794  # image366 has no question
    assert len(photos["test"]) == 653
    assert 0.05 < len(photos["validation"]) / 794 < 0.15
    known = by_id(splits["train"] + splits["validation"], "3002")
    assert (known.image, known.source, known.references) == (
        "image3.jpg",
        "what is on the desk?",
        ("book, scissor, papers, tape_dispenser",),
    )
    assert known.groups["answer_type"] == "other"


@pytest.mark.trap("data-4")
def test_leak_daquars_splits_share_no_photo(real):
    photos = images(real("daquar", "vqa"))
    assert sum(map(len, photos.values())) == len(set.union(*photos.values())) == 794 + 653


def test_flickr8k(real):
    splits = real("flickr8k", "captioning")
    assert sizes(splits) == {"train": 6000, "validation": 1000, "test": 1000}
    assert all(len(example.references) == 5 for examples in splits.values() for example in examples)
    known = by_id(splits["train"], "1000268201_693b08cb0e.jpg")
    assert known.references[1] == "A girl going into a wooden building ."


def test_vqa_v2_subset(real):
    splits = real("vqa_v2_subset", "vqa")
    assert len(splits["train"]) + len(splits["validation"]) == 48061
    assert len(splits["test"]) == 2962
    assert 0.08 < len(splits["validation"]) / 48061 < 0.12
    every = [example for examples in splits.values() for example in examples]
    assert sum(example.image is not None for example in every) == 97
    kinds = [example.groups["answer_type"] for example in every]
    assert [kinds.count(kind) for kind in ("yes/no", "number", "other")] == [17053, 17052, 16918]
    assert all(len(example.references) == 10 for example in every)
    known = by_id(every, "228478002")
    assert (known.source, known.target) == ("What English meal is this likely for?", "tea")
    assert known.answer_scores["brunch"] == 0.6


@pytest.mark.trap("data-5")
def test_leak_vqa_v2_subsets_validation_has_no_image_of_another_split(real):
    """The official split shares 1,409 images between train and test (test_overlap.py); ours adds none."""
    clusters = {
        split: {example.cluster_id for example in examples}
        for split, examples in real("vqa_v2_subset", "vqa").items()
    }
    assert not clusters["validation"] & (clusters["train"] | clusters["test"])


def test_coco_mini(real, shared_data):
    questions, captions = real("coco_mini", "vqa"), real("coco_mini", "captioning")
    assert sum(sizes(questions).values()) == 112
    assert sum(sizes(captions).values()) == 363
    every = [example for examples in captions.values() for example in examples]
    assert sum(len(example.references) for example in every) == 1816
    assert len(set.union(*images(questions).values())) == 73
    with Photos([shared_data / "coco-mini" / "images_112"]) as photos:
        for splits in (questions, captions):
            assert set.union(*images(splits).values()) <= set(photos.names)
    shares = [len(examples) / 363 for examples in captions.values()]
    assert shares == pytest.approx([0.6, 0.1, 0.3], abs=0.06)


def test_leak_coco_minis_images_are_in_one_split_whatever_the_task(real):
    questions, captions = images(real("coco_mini", "vqa")), images(real("coco_mini", "captioning"))
    both = [questions[split] | captions[split] for split in ("train", "validation", "test")]
    assert sum(map(len, both)) == len(set.union(*both))


@pytest.mark.parametrize("language", ["de", "fr"])
def test_multi30k(real, language):
    splits = real("multi30k", "translation", **MULTI30K | {"tests": TESTS, "language": language})
    assert sizes(splits) == {
        "train": 29000,
        "validation": 1014,
        "test": 1000,
        "test_2017_flickr": 1000,
        "test_2017_mscoco": 461,
        "test_2018_flickr": 1071,
    }
    first = by_id(splits["train"], "0")
    assert first.source == "Two young, White males are outside near many bushes."
    assert (
        first.target
        == {
            "de": "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.",
            "fr": "Deux jeunes hommes blancs sont dehors près de buissons.",
        }[language]
    )
    third = by_id(splits["train"], "2")
    assert (third.image, third.cluster_id) == ("1000268201_693b08cb0e.jpg", "1000268201.jpg")
    assert not any(images(splits)[name] for name in TESTS[1:])  # nothing joins them to Flickr8k


def test_multi30k_with_other_tests_and_photos(real):
    splits = real("multi30k", "translation", **MULTI30K | {"tests": TESTS[2:], "photos": "flickr30k"})
    assert list(splits) == ["train", "validation", "test", "test_2018_flickr"]
    assert sizes(splits)["test"] == 461  # the first of the tests
    assert by_id(splits["train"], "2").image == "1000268201.jpg"
    assert {split: len(names) for split, names in images(splits).items()} == {
        "train": 29000,
        "validation": 1014,
        "test": 0,
        "test_2018_flickr": 1071,
    }
    without = real("multi30k", "translation", **MULTI30K | {"photos": "none"})
    assert not any(images(without).values())


# Of the joined lines: 6,993 of train, 867 of them Flickr8k dev and 871 Flickr8k test photos; of the 243 of
# test_2016_flickr, 173 are Flickr8k train photos (the README).
@pytest.mark.trap("data-3")
def test_leak_joined_train_lines_have_no_flickr8k_dev_or_test_photo(real):
    trained = images(real("multi30k", "translation", **MULTI30K))["train"]
    assert len(trained) == 6993 - 867 - 871
    flickr8k = images(real("flickr8k", "captioning"))
    assert not trained & (flickr8k["validation"] | flickr8k["test"])


@pytest.mark.trap("data-3")
def test_leak_joined_test_lines_have_no_flickr8k_train_photo(real):
    tested = images(real("multi30k", "translation", **MULTI30K))["test"]
    assert 0 < len(tested) <= 243 - 173
    flickr8k = images(real("flickr8k", "captioning"))
    assert not tested & (flickr8k["train"] | flickr8k["validation"])


def test_leak_joined_validation_lines_have_flickr8k_dev_photos_only(real):
    validated = images(real("multi30k", "translation", **MULTI30K))["validation"]
    assert validated
    assert validated <= images(real("flickr8k", "captioning"))["validation"]


@pytest.mark.parametrize(
    ("name", "task", "options", "message"),
    [
        ("daquar", "vqa", {}, r"annotations_train\.json: no such file"),
        ("flickr8k", "captioning", {}, r"Flickr8k\.token\.txt: no such file"),
        ("multi30k", "translation", MULTI30K, r"train\.tsv: no such file"),
        ("coco_mini", "captioning", {}, r"captions\.json: no such file"),
        ("vqa_v2_subset", "vqa", {}, r"images_112\.tar: no such file"),
        ("coco", "captioning", {"subset": False}, r"dataset_coco\.json: no such file"),
        ("vqa_v2", "vqa", {"subset": False, "answers": "file"}, r"dataset_coco\.json: no such file"),
    ],
)
def test_a_missing_file(tmp_path, monkeypatch, name, task, options, message):
    monkeypatch.setenv("AMAD_DATA", str(tmp_path))
    with pytest.raises(UserError, match=message):
        read_examples(planned_dataset(name, **options), task, tmp_path)
