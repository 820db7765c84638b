"""A folder with tiny data in the official layouts, and the means to damage it."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from tests.planned import planned_dataset

# image id -> (COCO part, Karpathy split)
IMAGES = {
    11: ("train2014", "train"),
    12: ("train2014", "train"),
    13: ("val2014", "restval"),
    14: ("val2014", "val"),
    15: ("val2014", "test"),
}
OF_PART = {
    part: [image for image, (of, _) in IMAGES.items() if of == part] for part in ("train2014", "val2014")
}
VQA = planned_dataset("vqa_v2", subset=True)
COCO = planned_dataset("coco", subset=True)
MULTI30K = planned_dataset("multi30k")
SPLITS_OF_LINES = {"train": ("train", 3), "val": ("dev", 1), "test_2016_flickr": ("test", 2)}


def file_name(image_id: int) -> str:
    return f"COCO_{IMAGES[image_id][0]}_{image_id:012d}.jpg"


def answers(*texts: str) -> list[dict[str, Any]]:
    return [
        {"answer": text, "answer_confidence": "yes", "answer_id": i} for i, text in enumerate(texts, start=1)
    ]


def write_official(root: Path) -> Path:
    """VQA v2 and COCO on five images, and six lines of Multi30K with Flickr8k photos, below root."""
    write_json(
        root / "coco/dataset_coco.json",
        {
            "dataset": "coco",
            "images": [
                {"cocoid": image, "filepath": part, "filename": file_name(image), "split": split}
                for image, (part, split) in IMAGES.items()
            ],
        },
    )
    for part, images in OF_PART.items():
        _write_vqa(root / "vqa-v2", part, images)
        write_json(
            root / f"coco/annotations/captions_{part}.json",
            {
                "images": [{"id": image, "file_name": file_name(image)} for image in images],
                "annotations": [
                    {"id": 10 * image + number, "image_id": image, "caption": f"caption {number} of {image}"}
                    for image in images
                    for number in range(5)
                ],
            },
        )
        write_tar(root / f"coco/images/{part}.tar", {file_name(image): jpeg() for image in images})
    _write_multi30k(root)
    return root


def _write_vqa(folder: Path, part: str, images: list[int]) -> None:
    """Two questions that all answer with yes; to a third 4 say the image's number, 3 yes, 3 other things."""
    questions, annotations = [], []
    for image in images:
        given = [["yes"] * 10, ["yes"] * 10, [str(image)] * 4 + ["yes"] * 3 + ["a b", "a b", "c"]]
        for number, (texts, kind) in enumerate(zip(given, ("yes/no", "yes/no", "other"), strict=True)):
            ids = {"question_id": 1000 * image + number, "image_id": image}
            questions.append({**ids, "question": f"question {number}?"})
            annotations.append(
                {
                    **ids,
                    "question_type": "is this",
                    "answer_type": kind,
                    "multiple_choice_answer": texts[0],
                    "answers": answers(*texts),
                }
            )
    write_json(folder / f"v2_OpenEnded_mscoco_{part}_questions.json", {"info": {}, "questions": questions})
    write_json(folder / f"v2_mscoco_{part}_annotations.json", {"annotations": annotations})


def _write_multi30k(root: Path) -> None:
    folder = root / "multi30k"
    for name in ("raw", "image_splits", "join_flickr8k"):
        (folder / name).mkdir(parents=True)
    for name, (split, count) in SPLITS_OF_LINES.items():
        for language in ("en", "de"):
            lines = "".join(f"{language} sentence {number} of {name}\n" for number in range(count))
            (folder / f"raw/{name}.{language}.gz").write_bytes(gzip.compress(lines.encode()))
        (folder / f"image_splits/{name}.txt").write_text("".join(f"{split}{i}.jpg\n" for i in range(count)))
        rows = "".join(f"{i}\t{split}{i}.jpg\t{split}{i}_x.jpg\t{split}\n" for i in range(count))
        header = "line_0based\tmulti30k_image\tflickr8k_image\tflickr8k_split\n"
        (folder / f"join_flickr8k/{name}.tsv").write_text(header + rows)
    photos = {f"{split}{i}_x.jpg": jpeg() for split, count in SPLITS_OF_LINES.values() for i in range(count)}
    write_tar(root / "flickr8k/images_112.tar", photos)


def jpeg(colour: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (16, 12), colour).save(content, format="JPEG")
    return content.getvalue()


def write_json(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=True), encoding="utf-8")


def write_tar(path: Path, files: dict[str, bytes], mode: str = "w") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def edit_json(path: Path, change: Callable[[Any], Any]) -> None:
    """Applies `change` to the file's value in place."""
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    write_json(path, value)
