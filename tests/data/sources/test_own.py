"""Data of one's own, as the three layouts are read: splits, photos, clusters, and the first bad record."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from amad_bench.data.formats.overlap import image_overlap
from amad_bench.data.formats.records import SplitSource
from amad_bench.data.sources.examples import read_examples
from amad_bench.data.sources.splits import share_of
from amad_bench.data.tasks.texts import source_texts
from amad_bench.plan.grid import expand
from amad_bench.plan.run_config import UsedDataset
from amad_bench.runtime.errors import UserError
from amad_bench.training.run import train_run
from tests.data.official_tree import answers, jpeg, write_json, write_tar
from tests.planned import planned_config, small_config

SPLITS = {"train": range(30), "test": range(30, 36), "hard": range(36, 40)}
TASKS = {"vqa": "vqa", "captions": "captioning", "sentences": "translation"}


def used(options: dict[str, Any]) -> UsedDataset:
    return UsedDataset(name="mine", options=options, limit=None, features=None, version=1, hash=None)


def write_vqa(root: Path, split: str, images: range) -> dict[str, str]:
    """Two questions to an image; ten answers."""
    ids = [{"question_id": 10 * image + number, "image_id": image} for image in images for number in range(2)]
    write_json(root / f"q_{split}.json", {"questions": [{**one, "question": "what is it?"} for one in ids]})
    given = {"multiple_choice_answer": "dog", "answers": answers(*["dog"] * 6, *["cat"] * 4)}
    write_json(root / f"a_{split}.json", {"annotations": [{**one, **given} for one in ids]})
    return {"questions": f"q_{split}.json", "annotations": f"a_{split}.json"}


def write_captions(root: Path, split: str, images: range) -> dict[str, str]:
    write_json(
        root / f"c_{split}.json",
        {
            "images": [{"id": image, "file_name": f"{image}.jpg"} for image in images],
            "annotations": [{"image_id": image, "caption": f"a dog, number {image}"} for image in images],
        },
    )
    return {"captions": f"c_{split}.json"}


def write_sentences(root: Path, split: str, images: range) -> dict[str, str]:
    for side in ("en", "cs"):
        lines = "".join(f"{side} sentence {image}\n" for image in images)
        (root / f"{split}.{side}.gz").write_bytes(gzip.compress(lines.encode()))
    return {"source": f"{split}.en.gz", "target": f"{split}.cs.gz"}


WRITERS = {"vqa": write_vqa, "captions": write_captions, "sentences": write_sentences}
FURTHER = {"vqa": {"image_name": "{image_id}.jpg"}, "captions": {}, "sentences": {"language": "Czech"}}


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """mine(layout): the entry of a config for its files, which are in AMAD_DATA with forty photos."""
    root = tmp_path / "data"
    write_tar(root / "photos.tar", {f"{image}.jpg": jpeg() for image in range(40)})
    monkeypatch.setenv("AMAD_DATA", str(root))
    monkeypatch.chdir(tmp_path)

    def entry(layout: str) -> dict[str, Any]:
        files = {split: WRITERS[layout](root, split, images) for split, images in SPLITS.items()}
        photos = [] if layout == "sentences" else ["photos"]
        return {"format": layout, "files": files, "photos": photos, **FURTHER[layout]}

    return entry


def read(entry: dict[str, Any]) -> dict[str, SplitSource]:
    task = TASKS[entry["format"]]
    config = small_config("vlt5", task, dataset="mine", **entry)
    return read_examples(used(config.options("mine")), task, Path())


@pytest.mark.parametrize("layout", WRITERS)
def test_from_a_config_to_the_scores_of_every_test(mine, layout: str) -> None:
    plan = expand(small_config("vlt5", TASKS[layout], dataset="mine", **mine(layout)))
    teacher = plan.runs[0]
    assert train_run(teacher, "cpu") == "done"
    text = (Path("results/runs") / teacher.id / "predictions.jsonl").read_text()
    for split in ("test", "hard"):
        assert text.count(f'"split": "{split}"') == len(SPLITS[split]) * (2 if layout == "vqa" else 1)


@pytest.mark.parametrize("layout", WRITERS)
def test_a_tenth_of_the_training_clusters_is_held_out(mine, layout: str) -> None:
    sources = read(mine(layout))
    assert list(sources) == ["train", "validation", "test", "hard"]
    clusters = {split: {e.cluster_id for e in source.examples} for split, source in sources.items()}
    assert len(clusters["train"] | clusters["validation"]) == 30
    names = range(30) if layout != "captions" else [f"{image}.jpg" for image in range(30)]
    if layout != "sentences":  # the same images whatever the layout, the config and the data set's name
        held = {str(name) for name in names if share_of(f"own|validation|{name}") < 0.1}
        assert clusters["validation"] == held
    assert 0 < len(clusters["validation"]) < 9
    assert image_overlap(sources) == {}


def test_a_validation_split_of_ones_own_is_taken(mine) -> None:
    entry = mine("vqa")
    entry["files"]["validation"] = entry["files"].pop("hard")
    sources = read(entry)
    assert {split: len(source.examples) for split, source in sources.items()} == {
        "train": 60,
        "validation": 8,
        "test": 12,
    }


def test_photos_of_questions_are_named_by_their_pattern(mine, tmp_path: Path) -> None:
    entry = mine("vqa")
    names = {example.image for example in read(entry)["test"].examples}
    assert names == {f"{image}.jpg" for image in SPLITS["test"]}
    names = {e.image for e in read(entry | {"image_name": "COCO_{image_id:012}.jpg"})["test"].examples}
    assert "COCO_000000000030.jpg" in names
    without = read(entry | {"image_name": "", "photos": []})["test"]
    assert {example.image for example in without.examples} == {None}
    assert read(entry)["test"].photos == (tmp_path / "data/photos",)


def test_a_limit_takes_a_small_further_test_whole(mine) -> None:
    limit = {"train": 20, "validation": 1, "test": 5}
    config = small_config("vlt5", "captioning", dataset="mine", **mine("captions"), limit=limit)
    limited = used(config.options("mine")).model_copy(update={"limit": limit})
    sources = read_examples(limited, "captioning", Path())
    assert [len(source.examples) for source in sources.values()] == [20, 1, 5, 4]


def test_one_answer_or_ten(mine) -> None:
    entry = mine("vqa")
    (first, *_) = read(entry)["test"].examples
    assert first.references == ("dog",) * 6 + ("cat",) * 4
    assert first.answer_scores == {"dog": 1.0, "cat": 1.0}
    with pytest.raises(
        UserError, match=r"a_train\.json: question_id 0: 'answers' must be a list of 1, .* `several`"
    ):
        read(entry | {"answers": "one"})


def test_the_prompt_names_the_language(mine) -> None:
    entry = mine("sentences")
    data = planned_config("vlt5", "translation", dataset="mine", **entry)
    (prompt, *_) = source_texts(data, "test", read(entry)["test"])
    assert prompt.startswith("translate English to Czech: en sentence 3")


def test_sentences_with_photos_in_some_splits(mine, tmp_path: Path) -> None:
    entry = mine("sentences")
    lines = "".join(f"{image}.jpg\n" for image in SPLITS["test"])
    (tmp_path / "data/test.txt").write_text(lines)
    entry["files"]["test"]["images"] = "test.txt"
    sources = read(entry | {"photos": ["photos"]})
    assert {example.image for example in sources["test"].examples} == {f"{i}.jpg" for i in SPLITS["test"]}
    assert {example.image for example in sources["train"].examples} == {None}


def test_equal_sentences_are_one_cluster_and_an_overlap(mine, tmp_path: Path) -> None:
    entry = mine("sentences")
    for side in ("en", "cs"):
        lines = f"{side} sentence 1\n{side} sentence 30\n{side} sentence 30\n{side} sentence 99\n"
        (tmp_path / f"data/web.{side}").write_text(lines)
    entry["files"]["web"] = {"source": "web.en", "target": "web.cs"}
    sources = read(entry)
    clusters = [example.cluster_id for example in sources["web"].examples]
    assert (len(clusters), len(set(clusters))) == (4, 3)
    assert image_overlap(sources) == {"train/web": 1, "test/web": 1}
    assert all(len(cluster) == 16 for cluster in clusters)


def test_captioned_photos_are_told_apart_by_name(mine) -> None:
    """Two files may number their images as each of them likes."""
    entry = mine("captions")
    images = [{"id": image - 30, "file_name": f"{image}.jpg"} for image in range(30, 36)]
    images.append({"id": 500, "file_name": "3.jpg"})
    captions = [{"image_id": image["id"], "caption": "a dog"} for image in images]
    write_json(Path("data/c_test.json"), {"images": images, "annotations": captions})
    sources = read(entry)
    assert image_overlap(sources) == {"train/test": 1}
    assert [e.example_id for e in sources["train"].examples if e.image == "3.jpg"] == ["3"]  # not held out
    assert {e.example_id for e in sources["test"].examples} == {"0", "1", "2", "3", "4", "5", "500"}


def test_of_two_photos_with_a_name_the_first_place_counts(mine) -> None:
    entry = mine("captions")
    write_tar(Path("data/black.tar"), {f"{image}.jpg": jpeg(colour=(0, 0, 0)) for image in range(40)})
    means: list[set[float]] = []
    for photos in (["photos", "black"], ["black", "photos"]):
        config = small_config("vlt5", "captioning", dataset="mine", **entry | {"photos": photos})
        assert train_run(expand(config).runs[0], "cpu") == "done"
        made = Path().glob("results/data/*/prepared/*/features.npy")
        means.append({np.load(path).mean() for path in made})
    assert len(means[0]) == 1
    assert means[1] - means[0] == {0.0}


def test_line_counts_that_differ(mine, tmp_path: Path) -> None:
    entry = mine("sentences")
    (tmp_path / "data/test.cs.gz").write_bytes(gzip.compress(b"one\n"))
    with pytest.raises(UserError, match=r"test\.cs\.gz: 1 lines, but .*test\.en\.gz has 6; line i of both"):
        read(entry)


def test_a_photo_that_is_absent_is_named_with_its_record(mine) -> None:
    entry = mine("captions") | {"photos": ["photos"]}
    entry["files"]["hard"] = write_captions(Path("data"), "more", range(39, 42))
    config = small_config("vlt5", "captioning", dataset="mine", **entry)
    with pytest.raises(UserError, match=r"c_more\.json: image id 4[01]: its image 4[01]\.jpg is not in"):
        train_run(expand(config).runs[0], "cpu")
