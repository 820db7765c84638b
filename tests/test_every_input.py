"""From a config to the paper for each kind of inputs, on a stand-in of the official VQA v2 and COCO files."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from amad_bench.cli import main
from tests.data.folders import vit_folder
from tests.data.images.test_feature_files import record, write_h5, write_npz
from tests.data.official_tree import answers, write_json, write_tar

pytestmark = pytest.mark.slow

SPLITS = ("train",) * 6 + ("restval",) * 2 + ("val",) * 2 + ("test",) * 4  # Karpathy's, of images 1 to 14
UNKNOWN = 15  # an image of val2014 that Karpathy's file lacks
WORDS = ("red", "blue", "dog", "cat")
INPUTS = {
    "regions": (
        "vlt5",
        {"kind": "regions", "boxes": "grid", "rows": 2, "columns": 2, "crop": 4, "max_regions": 4},
        "raw 4 x 4 px patches of a 2 x 2 grid",
    ),
    "pixels": ("blip", {"kind": "pixels", "size": 32, "patch": 16}, "raw 32 x 32 px in 16 px patches"),
    "features.h5": (
        "vlt5",
        {"kind": "features", "size": 5, "max_regions": 36},
        "precomputed features of 36 regions x 5",
    ),
    "features": (
        "vlt5",
        {"kind": "features", "size": 5, "max_regions": 36},
        "precomputed features of 36 regions x 5",
    ),
    "extracted": (
        "vlt5",
        {"kind": "extracted", "model": "vit", "size": 32, "rows": 2, "columns": 2},
        "extracted 2 x 2 grid features (vit at 32 px)",
    ),
}


def part_of(image: int) -> str:
    return "train2014" if image <= 6 else "val2014"


def file_name(image: int) -> str:
    return f"COCO_{part_of(image)}_{image:012d}.jpg"


def photo(image: int) -> bytes:
    pixels = np.random.default_rng(image).integers(0, 256, (24, 32, 3), np.uint8)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format="JPEG")
    return content.getvalue()


def write_stand_in(root: Path) -> None:
    split_of = dict(enumerate(SPLITS, start=1))
    write_json(
        root / "coco/dataset_coco.json",
        {
            "images": [
                {"cocoid": image, "filepath": part_of(image), "filename": file_name(image), "split": split}
                for image, split in split_of.items()
            ]
        },
    )
    for part in ("train2014", "val2014"):
        images = [image for image in (*split_of, UNKNOWN) if part_of(image) == part]
        write_tar(root / f"coco/images/{part}.tar", {file_name(image): photo(image) for image in images})
        write_json(
            root / f"coco/annotations/captions_{part}.json",
            {
                "images": [{"id": image, "file_name": file_name(image)} for image in images],
                "annotations": [
                    {
                        "id": 10 * image + number,
                        "image_id": image,
                        "caption": f"a {word} {WORDS[image % 4]} on grass",
                    }
                    for image in images
                    for number, word in enumerate((*WORDS, "small"))
                ],
            },
        )
        questions, annotations = [], []
        for image in images:
            for number in range(2):
                ids = {"question_id": 100 * image + number, "image_id": image}
                given = "yes" if number else WORDS[image % 2]
                questions.append({**ids, "question": ("what is it?", "is it red?")[number]})
                annotations.append(
                    {
                        **ids,
                        "question_type": "is it" if number else "what is",
                        "answer_type": "yes/no" if number else "other",
                        "multiple_choice_answer": given,
                        "answers": answers(*[given] * 10),
                    }
                )
        folder = root / "vqa-v2"
        write_json(folder / f"v2_OpenEnded_mscoco_{part}_questions.json", {"questions": questions})
        write_json(folder / f"v2_mscoco_{part}_annotations.json", {"annotations": annotations})


@pytest.fixture
def workspace(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory but for the paper's source; the data and vision model are in AMAD_DATA."""
    root = tmp_path / "data"
    write_stand_in(root)
    records = {Path(file_name(image)).stem: record(seed=image) for image in range(1, UNKNOWN)}
    write_h5(root / "features.h5", records)
    write_npz(root / "features", records)
    vit_folder(root / "vit")
    monkeypatch.setenv("AMAD_DATA", str(root))
    folder = tmp_path / "work"
    shutil.copytree(repository / "paper", folder / "paper", ignore=shutil.ignore_patterns("*.pdf"))
    monkeypatch.chdir(folder)
    return folder


def config(family: str, inputs: dict[str, Any], features: str | None) -> dict[str, Any]:
    training = {
        "examples": "all",
        "steps": 2,
        "batch": 4,
        "learning_rate": 0.001,
        "warmup": 0.0,
        "weight_decay": 0.0,
        "clip": 1.0,
        "evaluations": 1,
    }
    size = {"layers": 1, "width": 8, "feed_forward": 8, "dropout": 0.0}
    shared = {"vocabulary": 60, "decoding": {"max_length": 6, "beams": 1}}
    shared |= {"teacher": training, "student": training}
    of_features = {"features": [features]} if features else {}
    return {
        "name": "every-input",
        "device": "cpu",
        "replicates": 1,
        "datasets": {"vqa_v2": {"subset": True, **of_features}, "coco": {"subset": True, **of_features}},
        "models": {family: {"inputs": inputs, "teacher": size, "student": size}},
        "heads": {"teacher": [4], "student": [2]},
        "losses": [{"name": "ce"}, {"name": "amad", "variant": "kl"}],
        "sites": {family: ["encoder.self" if family == "vlt5" else "vision.self"]},
        "tasks": [
            {"family": family, "task": "vqa", "dataset": "vqa_v2", **shared},
            {"family": family, "task": "captioning", "dataset": "coco", **shared},
        ],
    }


@pytest.mark.parametrize("name", INPUTS)
def test_from_config_to_paper(workspace: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    family, inputs, seen = INPUTS[name]
    path = workspace / "config.yaml"
    features = name if inputs["kind"] == "features" else None
    path.write_text(yaml.safe_dump(config(family, inputs, features)), encoding="utf-8")

    def command(*arguments: str) -> str:
        capsys.readouterr()
        code = main([*arguments, "--config", str(path)])
        captured = capsys.readouterr()
        assert code == 0, captured.err
        return captured.out

    runs = json.loads(command("plan", "--json"))["runs"]
    assert len(runs) == 2 * 3
    command("data")
    for run in runs:
        assert command("run", "--run", run["id"]).endswith(": done\n")
    command("collect")
    compared = command("compare")
    command("figures")
    command("paper")

    tables = workspace / "results" / "tables"
    assert len(pd.read_csv(tables / "failures.csv")) == 0
    results = pd.read_csv(tables / "results.csv")
    assert set(zip(results["dataset"], results["loss"], strict=True)) == {
        (dataset, loss) for dataset in ("vqa_v2", "coco") for loss in ("teacher", "ce", "amad_kl")
    }
    assert set(results["features"]) == {seen}
    assert results["mean"].notna().all()
    part = "a part of the official files"
    for table in ("runs", "results", "headroom", "pairs_of_runs"):
        assert set(pd.read_csv(tables / f"{table}.csv")["limit"]) == {part}
    assert compared.count(part) == 2 * 3
    made = pd.read_csv(tables / "runs.csv")
    assert {tuple(json.loads(text).items()) for text in made["left_out"]} == {
        (("val2014", 2),),  # two questions
        (("val2014", 1),),  # and one captioned image
    }
    vqa = made[made["task"] == "vqa"]
    assert set(vqa["answers"]) == {1}  # "yes": the others are the answer of fewer than 9 questions
    assert {tuple(json.loads(text).values()) for text in vqa["with_image"]} == {(8, 16, 4)}
    assert (workspace / "paper" / "main.pdf").read_bytes().startswith(b"%PDF")
