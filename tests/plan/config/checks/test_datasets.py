"""Mistakes in what a config says of data of one's own: one line each, with the key and what to do."""

from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from pydantic import Field

from amad_bench.plan.catalogue import primary_metric, record_of
from amad_bench.plan.config.inputs import INPUTS, ImageInputs
from amad_bench.plan.config.load import load_config
from amad_bench.plan.config.schema import Config
from amad_bench.runtime.errors import UserError
from tests.planned import GRID, SIZE, TRAINING

VQA: dict[str, Any] = {
    "format": "vqa",
    "image_name": "{image_id}.png",
    "photos": ["photos"],
    "files": {
        "train": {"questions": "q.json", "annotations": "a.json"},
        "test": {"questions": "q_test.json", "annotations": "a_test.json"},
    },
}
CAPTIONS: dict[str, Any] = {
    "format": "captions",
    "photos": ["photos.tar"],
    "files": {"train": {"captions": "c.json"}, "test": {"captions": "c_test.json"}},
}
SENTENCES: dict[str, Any] = {
    "format": "sentences",
    "language": "Czech",
    "files": {
        "train": {"source": "train.en", "target": "train.cs"},
        "test": {"source": "test.en", "target": "test.cs"},
        "web": {"source": "web.en", "target": "web.cs"},
    },
}
TASKS = {"vqa": "vqa", "captions": "captioning", "sentences": "translation"}


def load(folder: Path, entry: dict[str, Any], name: str = "mine", inputs: dict[str, Any] = GRID) -> Config:
    task = {
        "family": "vlt5",
        "task": TASKS.get(entry.get("format", ""), "vqa"),
        "dataset": name,
        "vocabulary": 100,
        "decoding": {"max_length": 4, "beams": 1},
        "teacher": TRAINING,
        "student": TRAINING,
    }
    raw = {
        "name": "own",
        "replicates": 1,
        "datasets": {name: entry},
        "models": {"vlt5": {"inputs": inputs, "teacher": SIZE, "student": SIZE}},
        "heads": {"teacher": [4], "student": [2]},
        "losses": [{"name": "ce"}],
        "tasks": [task],
    }
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump(raw, sort_keys=False))
    return load_config(path)


@pytest.mark.parametrize("entry", [VQA, CAPTIONS, SENTENCES], ids=lambda entry: entry["format"])
def test_each_layout_is_a_data_set_of_its_task(tmp_path: Path, entry: dict[str, Any]) -> None:
    record = load(tmp_path, entry).record("mine")
    assert (record.name, record.label, record.tasks) == ("mine", "mine", (TASKS[entry["format"]],))
    assert record.reader == f"own_{entry['format']}"


def test_roles_of_splits_photos_and_tests(tmp_path: Path) -> None:
    config = load(tmp_path, SENTENCES)
    record, options = config.record("mine"), config.options("mine")
    assert record.files("translation", options) == {
        "source_train": "train.en",
        "target_train": "train.cs",
        "source_test": "test.en",
        "target_test": "test.cs",
        "source_web": "web.en",
        "target_web": "web.cs",
    }
    assert record.tests(options) == ("test", "web")
    assert record.photos(options) == {}
    config = load(tmp_path, CAPTIONS)
    assert config.record("mine").photos(config.options("mine")) == {"photos_0": "photos"}  # an archive's base


@pytest.mark.parametrize(("answers", "metric"), [("several", "vqa_accuracy"), ("one", "exact_match")])
def test_the_metric_follows_the_answers(tmp_path: Path, answers: str, metric: str) -> None:
    config = load(tmp_path, VQA | {"answers": answers})
    assert primary_metric("vqa", record_of("mine", config.options("mine"))) == metric


def _files(entry: dict[str, Any], split: str, files: dict[str, str] | None) -> dict[str, Any]:
    kept = {name: of_split for name, of_split in entry["files"].items() if name != split}
    return entry | {"files": kept if files is None else kept | {split: files}}


QUESTIONS = {"questions": "q.json"}
OUTSIDE = [_files(VQA, "dev", QUESTIONS | {"annotations": path}) for path in ("../a.json", "/a.json")]
MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    (VQA | {"format": "vqa2"}, ".format: unknown format 'vqa2'. Did you mean 'vqa'?", ""),
    (VQA | {"format": 1}, ".format: expected text, found 1", ""),
    (_files(VQA, "test", None), ".files.test: missing; name its files", ""),
    (_files(VQA, "test", QUESTIONS), ".files.test.annotations: missing; `vqa` needs it", ""),
    (
        _files(VQA, "train", VQA["files"]["train"] | {"anotations": "x"}),
        ".files.train.anotations: unknown file of vqa 'anotations'. Did you mean 'annotations'?",
        "",
    ),
    (
        _files(VQA, "test_blind", VQA["files"]["test"]),
        ".files.test_blind: _blind and _majority end",
        "another",
    ),
    (
        _files(VQA, "Dev", VQA["files"]["test"]),
        ".files.Dev: write the names of splits in small letters: dev",
        "",
    ),
    (_files(VQA, "d" * 61, VQA["files"]["test"]), f".files.{'d' * 61}: expected at most 60", "found 61"),
    (_files(VQA, "my test", VQA["files"]["test"]), ".files.my test: expected letters, digits", ""),
    (
        _files(VQA, "dev", QUESTIONS | {"annotations": "../a.json"}),
        ".files.dev.annotations: ",
        "below AMAD_DATA",
    ),
    (
        _files(VQA, "dev", QUESTIONS | {"annotations": "/a.json"}),
        ".files.dev.annotations: ",
        "below AMAD_DATA",
    ),
    (VQA | {"photos": ["photos", "photos.tar"]}, ".photos[1]: 'photos' stands twice", ""),
    (VQA | {"photos": ["../photos"]}, ".photos[0]: expected a path below AMAD_DATA", ""),
    (VQA | {"photos": "photos"}, ".photos: expected a list", ""),
    (VQA | {"photos": [".tar"]}, ".photos[0]: expected a folder or the name of a .tar archive", "'.tar'"),
    (VQA | {"photos": ["photos", "photos/"]}, ".photos[1]: 'photos' stands twice", ""),
    (VQA | {"photos": []}, ".photos: missing; the records name images (tasks[0])", ".tar"),
    (CAPTIONS | {"photos": []}, ".photos: missing; the records name images (tasks[0])", ".tar"),
    (VQA | {"image_name": ""}, ".image_name: missing; it says which photo belongs to which record", ""),
    (
        VQA | {"image_name": "photo.png"},
        ".image_name: expected a file name with one {image_id}",
        "'photo.png'",
    ),
    (VQA | {"image_name": "{image_id:012d"}, ".image_name: expected a file name with one {image_id}", ""),
    (VQA | {"image_name": "{image_id}\n.png"}, ".image_name: expected a file name with one {image_id}", ""),
    (VQA | {"image_name": "{image_id.real}.png"}, ".image_name: expected a file name", ""),
    (VQA | {"answers": "many"}, ".answers: expected several or one, found 'many'", ""),
    (VQA | {"answer": "one"}, ".answer: unknown key. Did you mean 'answers'?", ""),
    (
        CAPTIONS | {"answers": "one"},
        ".answers: unknown key. Known: format, files, photos, limit, features",
        "",
    ),
    (SENTENCES | {"language": " "}, ".language: missing; say what English is translated into", "German"),
    (SENTENCES | {"photos": ["photos"]}, ".files.train.images: missing; it says which photo", ""),
    (
        _files(SENTENCES, "train", SENTENCES["files"]["train"] | {"images": "train.txt"}),
        ".photos: missing; the records name images",
        "",
    ),
    (VQA | {"limit": {"train": 0, "validation": 1, "test": 1}}, ".limit.train: expected", "found 0"),
]


@pytest.mark.parametrize(
    ("entry", "starts", "contains"), MISTAKES, ids=[start.split(";")[0][:40] for _, start, _ in MISTAKES]
)
def test_a_mistake_is_one_line(tmp_path: Path, entry: dict[str, Any], starts: str, contains: str) -> None:
    with pytest.raises(UserError) as caught:
        load(tmp_path, entry)
    (line,) = caught.value.messages
    assert line.removeprefix(f"{tmp_path}/own.yaml: ").startswith(f"datasets.mine{starts}")
    assert contains in line


@pytest.mark.parametrize("name", ["coco", "COCO", "Flickr8k", "scenes"])
def test_it_is_not_called_as_a_known_data_set_is(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=rf"datasets\.{name}: the name of a known data set .*; choose"):
        load(tmp_path, VQA, name)


@pytest.mark.parametrize("name", ["my data", "../mine", "a-b"])
def test_its_name_is_a_label(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="expected letters, digits and a few signs only"):
        load(tmp_path, VQA, name)


def test_names_are_told_apart_without_capital_letters(tmp_path: Path) -> None:
    load(tmp_path, VQA)
    raw = yaml.safe_load((tmp_path / "own.yaml").read_text())
    raw["datasets"]["Mine"] = VQA
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(UserError) as caught:
        load_config(tmp_path / "own.yaml")
    ours = [line.removeprefix(f"{tmp_path}/own.yaml: ") for line in caught.value.messages]
    assert sorted(ours) == [
        f"datasets.{name}: differs from {other} in capital letters only; choose another name"
        for name, other in (("Mine", "mine"), ("mine", "Mine"))
    ]


def test_its_name_is_short(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected at most 60 characters, found 61"):
        load(tmp_path, VQA, "m" * 61)


def test_without_a_format_an_unknown_name_is_unknown(tmp_path: Path) -> None:
    entry = {key: value for key, value in VQA.items() if key != "format"}
    message = r"unknown data set 'flickr8'\. Did you mean 'flickr8k'\? Data of your own need the key `format`"
    with pytest.raises(UserError, match=message):
        load(tmp_path, entry, "flickr8")


def test_the_order_of_further_tests_in_the_config_does_not_matter(tmp_path: Path) -> None:
    further = dict.fromkeys(("b", "a"), SENTENCES["files"]["web"])
    config = load(tmp_path, SENTENCES | {"files": {**further, **SENTENCES["files"]}})
    assert list(config.options("mine")["files"]) == ["train", "test", "a", "b", "web"]


def test_photos_are_missing_where_no_task_reads_them_yet(tmp_path: Path) -> None:
    load(tmp_path, VQA)
    raw = yaml.safe_load((tmp_path / "own.yaml").read_text())
    raw["datasets"]["other"] = VQA | {"photos": []}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(UserError, match=r"datasets\.other\.photos: missing; the records name images: list"):
        load_config(tmp_path / "own.yaml")


def test_features_take_the_place_of_photos(tmp_path: Path) -> None:
    inputs = {"kind": "features", "size": 4, "max_regions": 3}
    entry = VQA | {"photos": [], "features": ["features.h5"]}
    assert load(tmp_path, entry, inputs=inputs).record("mine").answers == "several"
    with pytest.raises(UserError, match=r"datasets\.mine\.photos: missing; the records name images"):
        load(tmp_path, entry)
    with pytest.raises(UserError, match=r"datasets\.mine\.features: missing; vlt5 sees precomputed"):
        load(tmp_path, VQA, inputs=inputs)


def test_it_has_no_boxes_and_no_other_task(tmp_path: Path) -> None:
    inputs = {"kind": "regions", "boxes": "file", "crop": 4, "max_regions": 4}
    with pytest.raises(UserError, match=r"tasks\[0\]\.dataset: mine comes without boxes"):
        load(tmp_path, VQA, inputs=inputs)


class OtherInputs(ImageInputs):
    """A stranger's kind of image input that reads what `features` name."""

    implementation = "Other"
    gives = "regions"
    reads = "features"

    kind: Literal["unrelated"] = Field(description="features of another layout")

    @property
    def phrase(self) -> str:
        return "other features"


def test_no_photos_are_asked_for_where_inputs_read_features(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(INPUTS, "unrelated", OtherInputs)
    entry = CAPTIONS | {"photos": [], "features": ["features"]}
    config = load(tmp_path, entry, inputs={"kind": "unrelated"})
    assert config.record("mine").photos(config.options("mine")) == {}
