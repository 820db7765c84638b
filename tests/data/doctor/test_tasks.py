"""What `doctor` finds in files that are all there but cannot be used: records, images, tokenizers, models."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.data.doctored import CONFIG, SIZE, doctor, write_doctored
from tests.data.folders import t5_folder, vit_folder
from tests.data.images.test_feature_files import record, write_h5
from tests.data.official_tree import edit_json, write_tar


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return write_doctored(tmp_path, monkeypatch)


def test_what_the_reader_refuses_is_an_error(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "daquar" / "annotations_test.json"
    edit_json(path, lambda content: content["annotations"][0].update(answer_type=3))
    code, out, err = doctor(capsys)
    assert code == 2
    assert f"daquar vqa: {path}: question_id 1000: answer_type is empty or not a text" in out
    assert err == "amad-bench: error: config.yaml: 1 error in what they hold\n"


def test_photos_that_are_not_there_are_counted(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = {f"image{number}.jpg": b"" for number in range(3, 40)}
    write_tar(folder / "daquar" / "images_112.tar", photos | {f"other{number}.jpg": b"" for number in (1, 2)})
    code, out, err = doctor(capsys)
    assert code == 2
    assert "blip vqa daquar: " in out
    assert "(2 of 39 images are missing)\n" in out
    assert err == "amad-bench: error: config.yaml: 1 error in what they hold\n"


def _with_vlt5(inputs: dict[str, Any], **entry: Any) -> None:
    """The config for VL-T5, which sees `inputs`, and with other keys in its task entry."""
    raw = {**CONFIG, "models": {"vlt5": {"inputs": inputs, "teacher": SIZE, "student": SIZE}}}
    raw["datasets"] = {"daquar": {"features": ["obj36.h5"]}}
    raw["tasks"] = [{**CONFIG["tasks"][0], "family": "vlt5", **entry}]
    Path("config.yaml").write_text(yaml.safe_dump(raw))


FEATURES = {"kind": "features", "size": 5, "max_regions": 4}
GRID = {"kind": "regions", "boxes": "grid", "rows": 1, "columns": 1, "crop": 2, "max_regions": 1}


@pytest.mark.parametrize(
    ("keys", "size", "message"),
    [
        (range(1, 40), 5, ""),
        (range(3, 40), 5, "is not in .*obj36.h5; .*(2 of 39 images are missing)"),
        (range(1, 40), 8, "image image1: features of shape .*, 8), expected"),
    ],
)
def test_feature_files_are_opened(folder: Path, capsys, keys: range, size: int, message: str) -> None:
    _with_vlt5(FEATURES)
    write_h5(folder / "obj36.h5", {f"image{number}": record(size=size) for number in keys})
    code, out, _ = doctor(capsys)
    assert code == (2 if message else 0)
    for part in message.split(".*"):
        assert part in out


def test_a_cut_feature_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _with_vlt5(FEATURES)
    write_h5(folder / "obj36.h5", {"image1": record()})
    os.truncate(folder / "obj36.h5", 3000)
    code, out, _ = doctor(capsys)
    assert code == 2
    assert "obj36.h5: unreadable (no readable HDF5 file (" in out
    assert "; source: named in the config\n" in out


def test_a_tokenizer_that_does_not_load(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    t5_folder(folder / "t5")
    _with_vlt5(GRID, vocabulary=None, tokenizer="t5")
    assert doctor(capsys)[0] == 0
    (folder / "t5" / "spiece.model").write_bytes(b"damaged")
    code, out, err = doctor(capsys)
    assert code == 2
    assert "vlt5 vqa daquar: " in out
    assert "found config.json, spiece.model, not found" in out
    assert err == "amad-bench: error: config.yaml: 1 error in what they hold\n"


def test_a_vision_model_that_does_not_load(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vit_folder(folder / "vit")
    _with_vlt5({"kind": "extracted", "model": "vit", "size": 32, "rows": 2, "columns": 2})
    capsys.readouterr()
    assert doctor(capsys)[0::2] == (0, "")
    os.truncate(folder / "vit" / "model.safetensors", 500)
    code, out, _ = doctor(capsys)
    assert code == 2
    assert "vlt5 vqa daquar: " in out
    assert "vit: a vision model with its image processor (inputs.model) cannot be loaded" in out


def test_generated_data_with_a_given_tokenizer(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is read of examples that are generated later."""
    t5_folder(folder / "t5")
    _with_vlt5(GRID, dataset="scenes", vocabulary=None, tokenizer="t5")
    raw = yaml.safe_load(Path("config.yaml").read_text()) | {"datasets": {"scenes": {}}}
    Path("config.yaml").write_text(yaml.safe_dump(raw))
    assert doctor(capsys)[0] == 0
