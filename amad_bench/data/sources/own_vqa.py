"""One's own questions and answers, in the layout of VQA v2."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amad_bench.data.formats.records import Example, SplitSource
from amad_bench.data.formats.vqa import ANNOTATORS, read_vqa
from amad_bench.data.sources.own import read_splits


def read(files: Mapping[str, Path], _task: str, options: Mapping[str, Any]) -> dict[str, SplitSource]:
    """options: "answers" to each question, several (ten) | one; "image_name" of an image_id, "" without."""
    annotators = ANNOTATORS if options["answers"] == "several" else 1
    pattern: str = options["image_name"]

    def image_name(image_id: int) -> str | None:
        return pattern.format(image_id=image_id) if pattern else None

    def read_split(of_split: Mapping[str, Path]) -> list[Example]:
        return read_vqa(of_split["questions"], of_split["annotations"], image_name, annotators)

    return read_splits(files, options, read_split)
