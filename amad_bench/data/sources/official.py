"""VQA v2 and COCO captions as their owners publish them, on Karpathy's split of the images."""

from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from amad_bench.data.formats.captions import read_coco_captions
from amad_bench.data.formats.records import RESTORE, Example, SplitSource
from amad_bench.data.formats.vqa import read_annotations, read_questions
from amad_bench.data.formats.vqa_answers import ANSWERS, common_answers, read_answers
from amad_bench.data.sources.karpathy import (
    IMAGES,
    PARTS,
    KarpathyImage,
    check_sizes,
    coco_name,
    read_karpathy,
)
from amad_bench.plan.catalogue.datasets import ANSWER_FILE, KARPATHY
from amad_bench.runtime.errors import UserError

_QUESTIONS_OF_PART = {"train2014": 443_757, "val2014": 214_354}
_QUESTIONS = {"train": 605_102, "validation": 26_729, "test": 26_280}


def vqa_v2(root: Path, _task: str, options: dict[str, Any]) -> dict[str, SplitSource]:
    """Official questions and annotations. options: "answers" (of the vocabulary) computed | file, "subset".

    Unless `subset`, all sizes must be official. A subset leaves out, and counts, the questions on images that
    Karpathy's file does not have. UserError also for a question that two files have, and a split that ends
    empty.
    """
    folder, subset = root / "vqa-v2", options["subset"]
    images = read_karpathy(root / KARPATHY, subset)
    paths = {part: folder / f"v2_mscoco_{part}_annotations.json" for part in PARTS}
    annotations = {part: read_annotations(path) for part, path in paths.items()}
    if options["answers"] == "file":
        answers_path = root / ANSWER_FILE
        vocabulary = read_answers(answers_path)
    else:
        answers_path = folder
        vocabulary = common_answers(
            one.target for of_part in annotations.values() for one in of_part.values()
        )
    if not subset:
        check_sizes(answers_path, "answers", {"vocabulary": len(vocabulary)}, {"vocabulary": ANSWERS})
    examples: dict[str, list[Example]] = {}
    for part, path in paths.items():
        questions_path = folder / f"v2_OpenEnded_mscoco_{part}_questions.json"
        of_part = read_questions(
            questions_path, annotations.pop(part), path, partial(coco_name, part), vocabulary
        )
        if not subset:
            check_sizes(questions_path, "questions", {part: len(of_part)}, {part: _QUESTIONS_OF_PART[part]})
        examples[part] = of_part
    sources = _by_split(root / KARPATHY, examples, images, "questions", None if subset else _QUESTIONS)
    return {split: replace(source, answers=len(vocabulary)) for split, source in sources.items()}


def coco(root: Path, _task: str, options: dict[str, Any]) -> dict[str, SplitSource]:
    """Official captions. options: "subset". Unless it is true, all sizes must be official.

    A subset leaves out, and counts, the images that Karpathy's file does not have; UserError when a split
    ends empty.
    """
    images = read_karpathy(root / KARPATHY, options["subset"])
    folder = root / "coco" / "annotations"
    examples = {part: read_coco_captions(folder / f"captions_{part}.json") for part in PARTS}
    return _by_split(
        root / KARPATHY, examples, images, "captioned images", None if options["subset"] else IMAGES
    )


def _by_split(
    split_path: Path,
    examples: dict[str, list[Example]],
    images: dict[int, KarpathyImage],
    what: str,
    official: dict[str, int] | None,
) -> dict[str, SplitSource]:
    """The examples of each part by the split of their image; official: their numbers, None for a subset."""
    splits: dict[str, list[Example]] = {split: [] for split in IMAGES}
    seen: set[str] = set()
    left_out: Counter[str] = Counter()
    for part, example in ((part, example) for part, of_part in examples.items() for example in of_part):
        if example.example_id in seen:
            raise UserError(f"{example.where}: the other year's file has that id too; {RESTORE}")
        seen.add(example.example_id)
        image = images.get(int(example.cluster_id))
        if image is None and official is None:
            left_out[part] += 1
        elif image is None or image.name != example.image:
            raise UserError(f"{example.where}: its image {example.image} is not in {split_path}; {RESTORE}")
        else:
            splits[image.split].append(example)
    for split, chosen in splits.items():
        if not chosen:
            raise UserError(
                f"{split_path}: no {split} image has {what}; {len(seen)} {what} were read,"
                f" {left_out.total()} of them on images that are not in it: bring files that belong together"
            )
    if official is not None:
        check_sizes(split_path, what, {split: len(chosen) for split, chosen in splits.items()}, official)
    return {split: SplitSource(chosen, left_out=dict(left_out)) for split, chosen in splits.items()}
