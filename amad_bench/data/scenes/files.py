"""Writes generated scenes once, in the layouts of the real data sets, so that the same loaders read both.

folder/images_<split>.tar        PNG files named by the 12-digit image id
folder/boxes.json                {"<image id>": [[x1, y1, x2, y2] in pixels, ...]}
folder/{questions,annotations}_<split>.json   VQA v2
folder/captions_<split>.json     COCO captions
folder/translation/<split>.{en,de} and <split>_images.txt   Multi30K: line i belongs to line i
"""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from amad_bench.data.scenes.english import SceneQuestion, make_captions, make_questions
from amad_bench.data.scenes.german import make_sentences
from amad_bench.data.scenes.scene import IMAGE_SIZE, SPLITS, make_scene, scene_generator

_ID_STEP = 10_000_000  # image ids of the three splits never meet
_INFO = {"description": "scenes: generated coloured shapes", "version": "1.0"}
_ANSWER_TYPES = {"existence": "yes/no", "counting": "number", "attribute": "other", "relation": "other"}


def image_name(image_id: int) -> str:
    return f"{image_id:012d}.png"


def scene_of(name: str) -> tuple[str, int]:
    """The split and the number in it of the scene with this image name."""
    split, index = divmod(int(name.partition(".")[0]), _ID_STEP)
    return SPLITS[split - 1], index


def write_scenes(folder: Path, options: dict[str, Any]) -> None:
    """All files of a scenes data set; options: train_images, validation_images, test_images, seed."""
    (folder / "translation").mkdir()
    boxes: dict[str, list[list[float]]] = {}
    for split in SPLITS:
        _write_split(folder, split, options[f"{split}_images"], options["seed"], boxes)
    _write_json(folder / "boxes.json", boxes)


def _write_split(
    folder: Path, split: str, count: int, seed: int, boxes: dict[str, list[list[float]]]
) -> None:
    questions: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    captions: list[dict[str, Any]] = []
    sentences: list[tuple[str, str, str]] = []  # English, German, the image's name
    with tarfile.open(folder / f"images_{split}.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        for index in range(count):
            image_id = (SPLITS.index(split) + 1) * _ID_STEP + index
            scene = make_scene(seed, split, index)
            _add_image(archive, image_name(image_id), scene.image_SS3)
            boxes[str(image_id)] = scene.boxes_R4.tolist()
            asked = make_questions(scene.objects, scene_generator(seed, split, index, part=1))
            for number, question in enumerate(asked):
                question_id = image_id * 10 + number
                questions.append(
                    {"image_id": image_id, "question": question.question, "question_id": question_id}
                )
                annotations.append(_annotation(question, image_id, question_id))
            images.append(
                {"id": image_id, "file_name": image_name(image_id), "height": IMAGE_SIZE, "width": IMAGE_SIZE}
            )
            captions += [
                {"image_id": image_id, "id": image_id * 10 + number, "caption": caption}
                for number, caption in enumerate(make_captions(scene.objects))
            ]
            pairs = make_sentences(scene.objects, scene_generator(seed, split, index, part=2))
            sentences += [(*pair, image_name(image_id)) for pair in pairs]
    header = {"info": _INFO, "data_type": "scenes", "data_subtype": split, "license": {"name": "Apache-2.0"}}
    _write_json(
        folder / f"questions_{split}.json", {**header, "task_type": "Open-Ended", "questions": questions}
    )
    _write_json(folder / f"annotations_{split}.json", {**header, "annotations": annotations})
    _write_json(
        folder / f"captions_{split}.json",
        {"info": _INFO, "images": images, "licenses": [], "annotations": captions},
    )
    for number, name in enumerate((f"{split}.en", f"{split}.de", f"{split}_images.txt")):
        lines = "".join(f"{sentence[number]}\n" for sentence in sentences)
        (folder / "translation" / name).write_text(lines, encoding="utf-8")


def _annotation(question: SceneQuestion, image_id: int, question_id: int) -> dict[str, Any]:
    """Ten equal answers: the scene leaves no doubt."""
    return {
        "question_type": question.kind,
        "multiple_choice_answer": question.answer,
        "answers": [
            {"answer": question.answer, "answer_confidence": "yes", "answer_id": number}
            for number in range(1, 11)
        ],
        "image_id": image_id,
        "answer_type": _ANSWER_TYPES[question.kind],
        "question_id": question_id,
    }


def _add_image(archive: tarfile.TarFile, name: str, image_SS3: np.ndarray) -> None:
    content = io.BytesIO()
    Image.fromarray(image_SS3).save(content, format="PNG", compress_level=1)
    entry = tarfile.TarInfo(name)  # mtime 0, no owner: equal options give equal archives
    entry.size = content.tell()
    content.seek(0)
    archive.addfile(entry, content)


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")), encoding="utf-8")
