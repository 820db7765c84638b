"""What `doctor` finds in a folder of data: complete, missing, damaged, other than published."""

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from amad_bench.cli import main
from amad_bench.data.doctor import examine_files, examine_splits
from amad_bench.plan.catalogue import DATASETS, MULTI30K_TESTS
from amad_bench.plan.datafiles import needs
from amad_bench.plan.schema import Config, load_config

TRAINING = {
    "examples": "all",
    "steps": 2,
    "batch": 2,
    "learning_rate": 1.0e-3,
    "warmup": 0.0,
    "weight_decay": 0.0,
    "clip": 1.0,
    "evaluations": 1,
}
SIZE = {"layers": 1, "width": 8, "feed_forward": 8, "dropout": 0.0}
CONFIG: dict[str, Any] = {
    "name": "doctored",
    "replicates": 2,
    "datasets": {"daquar": {}},
    "models": {
        "blip": {"inputs": {"kind": "pixels", "size": 16, "patch": 8}, "teacher": SIZE, "student": SIZE}
    },
    "heads": {"teacher": [2], "student": [1]},
    "losses": [{"name": "ce"}, {"name": "logit_kd"}],
    "cells": [
        {
            "family": "blip",
            "task": "vqa",
            "dataset": "daquar",
            "vocabulary": 50,
            "decoding": {"max_length": 4, "beams": 1},
            "teacher": TRAINING,
            "student": TRAINING,
        }
    ],
}
RUNS = 1 + 2 * 2  # a teacher; two losses with two replicates


def _records(part: str, image_ids: list[int]) -> tuple[dict, dict]:
    questions, annotations = [], []
    for number, image in enumerate(image_ids):
        shared = {"question_id": image * 1000 + number, "image_id": image}
        questions.append({**shared, "question": f"what is {number} ?"})
        answer = {"answer": "table", "answer_confidence": "yes", "answer_id": 1}
        annotations.append(
            {**shared, "multiple_choice_answer": "table", "answers": [answer], "answer_type": "other"}
        )
    return {"questions": questions}, {"annotations": annotations}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DAQUAR of forty questions, complete, with a manifest of its own; image 1 is in both splits."""
    root = tmp_path / "data"
    (root / "daquar").mkdir(parents=True)
    for part, images in (("train", list(range(1, 31))), ("test", [1, *range(31, 40)])):
        for what, content in zip(("questions", "annotations"), _records(part, images), strict=True):
            (root / "daquar" / f"{what}_{part}.json").write_text(json.dumps(content))
    (tmp_path / "image").write_bytes(b"not looked at")
    with tarfile.open(root / "daquar" / "images_112.tar", "w") as archive:
        for number in range(1, 40):
            archive.add(tmp_path / "image", f"image{number}.jpg")
    manifest = tmp_path / "configs" / "data" / "daquar.yaml"
    manifest.parent.mkdir(parents=True)
    train = root / "daquar" / "questions_train.json"
    files = {
        "daquar/questions_train.json": {
            "records": 30,
            "bytes": train.stat().st_size,
            "sha256": hashlib.sha256(train.read_bytes()).hexdigest(),
        },
        "daquar/images_112.tar": {"records": 39},
    }
    manifest.write_text(yaml.safe_dump({"publisher": "the owner", "files": files}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AMAD_DATA", str(root))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    return root


def _config() -> Config:
    return load_config(Path("config.yaml"))


def _doctor(capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(["doctor", "--config", "config.yaml"])
    output = capsys.readouterr()
    return code, output.out, output.err


def test_complete_data(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    findings = {finding.path: finding for finding in examine_files(_config())}
    assert len(findings) == 5
    assert {finding.state for finding in findings.values()} == {"ok"}
    assert {finding.runs for finding in findings.values()} == {RUNS}
    assert findings["daquar/questions_train.json"].compared == "sha256, records, bytes"
    assert findings["daquar/images_112"].compared == "records"
    assert findings["daquar/questions_test.json"].records == 10
    code, out, err = _doctor(capsys)
    assert (code, err) == (0, "")
    assert "test 10; images in two splits: " in out
    assert "1" in out.rsplit("images in two splits:", 1)[1]


def test_a_missing_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "daquar" / "images_112.tar").unlink()
    code, out, err = _doctor(capsys)
    assert code == 2
    assert f"daquar/images_112: missing, blocks {RUNS} runs\ndaquar is published at the owner\n" in out
    assert err == "amad-bench: error: config.yaml: 1 of 5 files are not as needed (missing)\n"


def test_other_content_than_published(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "daquar" / "questions_train.json"
    content = json.loads(path.read_text())
    content["questions"].pop()
    path.write_text(json.dumps(content))
    code, out, _ = _doctor(capsys)
    assert code == 2
    assert "daquar/questions_train.json: differs (sha256 should be" in out
    assert "records should be 30" in out
    assert "has no question in" in out  # what the reader says of these splits


@pytest.mark.parametrize(
    ("name", "content"), [("questions_test.json", b"{"), ("images_112.tar", b"x" * 600)], ids=["json", "tar"]
)
def test_an_unreadable_file(
    folder: Path, name: str, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "daquar" / name).write_bytes(content)
    code, out, err = _doctor(capsys)
    assert code == 2
    assert ": unreadable (" in out
    assert err.count("\n") == 1


def test_without_amad_data(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.delenv("AMAD_DATA")
    code, out, _ = _doctor(capsys)
    assert code == 2
    assert "daquar/questions_train.json: missing (AMAD_DATA is not set" in out


def test_generated_data_need_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--config", "configs/smoke.yaml"]) == 0
    assert "no file is needed" in capsys.readouterr().out


def test_the_doctor_touches_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    _doctor(capsys)
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before


def test_manifests_and_data_sets_name_the_same_files() -> None:
    known = {path.stem: yaml.safe_load(path.read_text()) for path in Path("configs/data").glob("*.yaml")}
    assert known.keys() == {name for name, record in DATASETS.items() if not record.generated}
    for name, manifest in known.items():
        assert manifest["publisher"].startswith("https://")
        wanted = {need.path for task in DATASETS[name].tasks for need in _every_need(name, task)}
        listed = {file.removesuffix(".tar") for file in manifest["files"]}
        assert listed == wanted


def _every_need(name: str, task: str) -> list:
    record = DATASETS[name]
    variants = [record.complete({})]
    if name == "multi30k":
        tests = list(MULTI30K_TESTS)
        variants = [{"language": lang, "tests": tests, "photos": "flickr8k"} for lang in ("de", "fr")]
    if name == "vqa_v2":
        variants.append({**variants[0], "answers": "file"})
    return [need for options in variants for need in needs(name, task, options, "pixels", None)]


def test_the_shared_data_are_as_published(shared_data: Path, monkeypatch) -> None:
    monkeypatch.setenv("AMAD_DATA", str(shared_data))
    config = load_config(Path("configs/real-mini.yaml"))
    findings = examine_files(config)
    assert {finding.state for finding in findings} == {"ok"}
    assert all(finding.compared.startswith("sha256, records") for finding in findings)
    lines = examine_splits(config)
    assert len(lines) == 3
    assert all("images in two splits: none" in line for line in lines)
