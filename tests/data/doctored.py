"""A tiny DAQUAR with its manifest and a config, for `doctor` to look at."""

import hashlib
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from amad_bench.cli import main
from amad_bench.plan.config.load import load_config
from amad_bench.plan.config.schema import Config

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
    "tasks": [
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


def _questions(image_ids: list[int]) -> tuple[dict, dict]:
    questions, annotations = [], []
    for number, image in enumerate(image_ids):
        shared = {"question_id": image * 1000 + number, "image_id": image}
        questions.append({**shared, "question": f"what is {number} ?"})
        answer = {"answer": "table", "answer_confidence": "yes", "answer_id": 1}
        annotations.append(
            {**shared, "multiple_choice_answer": "table", "answers": [answer], "answer_type": "other"}
        )
    return {"questions": questions}, {"annotations": annotations}


def write_doctored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DAQUAR of forty questions, complete, with a manifest of its own; image 1 is in both splits."""
    root = tmp_path / "data"
    (root / "daquar").mkdir(parents=True)
    for part, images in (("train", list(range(1, 31))), ("test", [1, *range(31, 40)])):
        for what, content in zip(("questions", "annotations"), _questions(images), strict=True):
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
        "daquar/images_112.tar": {"records": 39, "publisher": "the photographer"},
    }
    manifest.write_text(yaml.safe_dump({"publisher": "the owner", "files": files}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AMAD_DATA", str(root))
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    return root


def doctored_config() -> Config:
    return load_config(Path("config.yaml"))


def doctor(capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    code = main(["doctor", "--config", "config.yaml"])
    output = capsys.readouterr()
    return code, output.out, output.err
