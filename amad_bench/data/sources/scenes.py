"""Generated scenes, written once in the layouts of the real data sets, so that the same loaders read both.

Roles of files: photos_<split>, an archive of PNG files named by the 12-digit image id; boxes, see BoxesFile;
questions_<split> and annotations_<split>, as in VQA v2; captions_<split>, as in COCO; source_<split>,
target_<split> and images_<split>, as in Multi30K: line i belongs to line i.
"""

import io
import json
import tarfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from amad_bench.data.formats.captions import read_coco_captions
from amad_bench.data.formats.records import BoxesFile, Example, SplitSource
from amad_bench.data.formats.sentences import read_pairs
from amad_bench.data.formats.vqa import read_vqa
from amad_bench.data.scenes.english import SceneQuestion, make_captions, make_questions
from amad_bench.data.scenes.german import make_sentences
from amad_bench.data.scenes.phrases import scene_phrases
from amad_bench.data.scenes.scene import IMAGE_SIZE, image_id_of, image_name, make_scene, scene_generator
from amad_bench.plan.catalogue import SPLITS

_INFO = {"description": "scenes: generated coloured shapes", "version": "1.0"}
_ANSWER_TYPES = {"existence": "yes/no", "counting": "number", "attribute": "other", "relation": "other"}


def read(files: Mapping[str, Path], task: str, options: Mapping[str, Any]) -> dict[str, SplitSource]:
    """The generated splits; what is in an image's boxes, too."""
    phrases = partial(scene_phrases, seed=options["seed"])
    return {
        split: SplitSource(_examples(files, task, split), (files[f"photos_{split}"],), phrases=phrases)
        for split in SPLITS
    }


def boxes(files: Mapping[str, Path]) -> BoxesFile:
    """The regions of all images: objects and, to mislead, others."""
    return BoxesFile(files["boxes"], image_name)


def _examples(files: Mapping[str, Path], task: str, split: str) -> list[Example]:
    if task == "vqa":
        return read_vqa(files[f"questions_{split}"], files[f"annotations_{split}"], image_name)
    if task == "captioning":
        return read_coco_captions(files[f"captions_{split}"])
    return read_pairs(files[f"source_{split}"], files[f"target_{split}"], files[f"images_{split}"])


def write(files: Mapping[str, Path], options: Mapping[str, Any]) -> None:
    """All files of the data set; options: train_images, validation_images, test_images, seed."""
    for path in files.values():
        path.parent.mkdir(exist_ok=True)
    boxes: dict[str, list[list[float]]] = {}
    for split in SPLITS:
        _write_split(files, split, options[f"{split}_images"], options["seed"], boxes)
    _write_json(files["boxes"], boxes)


def _write_split(
    files: Mapping[str, Path], split: str, count: int, seed: int, boxes: dict[str, list[list[float]]]
) -> None:
    questions: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    images: list[dict[str, Any]] = []
    captions: list[dict[str, Any]] = []
    sentences: list[tuple[str, str, str]] = []  # English, German, the image's name
    photos = files[f"photos_{split}"]
    with tarfile.open(photos.with_name(f"{photos.name}.tar"), "w", format=tarfile.USTAR_FORMAT) as archive:
        for index in range(count):
            image_id = image_id_of(split, index)
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
    questions_header = {**header, "task_type": "Open-Ended"}
    _write_json(files[f"questions_{split}"], {**questions_header, "questions": questions})
    _write_json(files[f"annotations_{split}"], {**header, "annotations": annotations})
    _write_json(
        files[f"captions_{split}"],
        {"info": _INFO, "images": images, "licenses": [], "annotations": captions},
    )
    for number, role in enumerate(("source", "target", "images")):
        lines = "".join(f"{sentence[number]}\n" for sentence in sentences)
        files[f"{role}_{split}"].write_text(lines, encoding="utf-8")


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
