"""VQA v2 as its owners publish it, on Karpathy's split of the images, as VL-T5 has it; Goyal et al. 2017."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from amad_bench.data.formats.records import Example, SplitSource
from amad_bench.data.formats.vqa import read_annotations, read_questions
from amad_bench.data.formats.vqa_answers import ANSWERS, common_answers, read_answers
from amad_bench.data.sources.karpathy import by_split, check_sizes, coco_name, read_karpathy
from amad_bench.plan.catalogue.datasets import COCO_PARTS

_QUESTIONS_OF_PART = {"train2014": 443_757, "val2014": 214_354}
_QUESTIONS = {"train": 605_102, "validation": 26_729, "test": 26_280}


def read(files: Mapping[str, Path], _task: str, options: Mapping[str, Any]) -> dict[str, SplitSource]:
    """Official questions and annotations. options: "answers" (of the vocabulary) computed | file, "subset".

    Unless `subset`, all sizes must be official. A subset leaves out, and counts, the questions on images that
    Karpathy's file does not have. UserError also for a question that two files have, and a split that ends
    empty.
    """
    subset = options["subset"]
    images = read_karpathy(files["split"], subset)
    paths = {part: files[f"annotations_{part}"] for part in COCO_PARTS}
    annotations = {part: read_annotations(path) for part, path in paths.items()}
    if options["answers"] == "file":
        answers_path = files["answers"]
        vocabulary = read_answers(answers_path)
    else:
        answers_path = paths["train2014"].parent
        vocabulary = common_answers(
            one.target for of_part in annotations.values() for one in of_part.values()
        )
    if not subset:
        check_sizes(answers_path, "answers", {"vocabulary": len(vocabulary)}, {"vocabulary": ANSWERS})
    examples: dict[str, list[Example]] = {}
    for part, path in paths.items():
        questions_path = files[f"questions_{part}"]
        of_part = read_questions(
            questions_path, annotations.pop(part), path, partial(coco_name, part), vocabulary
        )
        if not subset:
            check_sizes(questions_path, "questions", {part: len(of_part)}, {part: _QUESTIONS_OF_PART[part]})
        examples[part] = of_part
    sources = by_split(files["split"], examples, images, "questions", None if subset else _QUESTIONS)
    return {split: replace(source, answers=len(vocabulary)) for split, source in sources.items()}
