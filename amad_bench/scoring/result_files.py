"""Predictions in the result formats of the data sets' owners, which their evaluators read.

VQA: [{"question_id": 1, "answer": "yes"}]; COCO captions: [{"image_id": 1, "caption": "a dog"}]; translation:
a sentence per line, in the order of the source file.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from amad_bench.runtime.files import atomic_directory, refuse_existing
from amad_bench.runtime.run_folder.predictions import CONTROLS, Prediction

_WHOLE = re.compile(r"0|-?[1-9][0-9]*")
_LINE_BREAKS = re.compile(r"[\r\n]+")
RECORDS = {"vqa": ("question_id", "answer"), "captioning": ("image_id", "caption")}  # keys by task


def write_result_files(task: str, by_split: Mapping[str, Sequence[Prediction]], folder: Path) -> list[Path]:
    """A file per test split, without the controls; their paths. UserError for a folder that is there."""
    refuse_existing(folder)
    names = []
    with atomic_directory(folder) as temporary:
        for split, rows in by_split.items():
            if not split.endswith(CONTROLS):
                names.append(f"{split}.{'json' if task in RECORDS else 'txt'}")
                texts = {row.example_id: row.prediction for row in rows}
                (temporary / names[-1]).write_text(result_file(task, texts), encoding="utf-8")
    return [folder / name for name in names]


def result_file(task: str, texts: Mapping[str, str]) -> str:
    """The content of a task's result file; texts: what was predicted by the example's id.

    Ids are whole numbers where all are; Flickr8k's are names of files.
    """
    ids = _as_written(texts)
    if task not in RECORDS:
        in_order = sorted(zip(ids, texts.values(), strict=True), key=lambda pair: pair[0])
        return "".join(f"{_LINE_BREAKS.sub(' ', text)}\n" for _, text in in_order)
    id_key, text_key = RECORDS[task]
    records = [{id_key: id, text_key: text} for id, text in zip(ids, texts.values(), strict=True)]
    return json.dumps(records, ensure_ascii=False) + "\n"


def _as_written(ids: Iterable[str]) -> Sequence[int] | Sequence[str]:
    """The ids as the owner's files have them."""
    texts = list(ids)
    if all(_WHOLE.fullmatch(text) for text in texts):
        return [int(text) for text in texts]
    return texts
