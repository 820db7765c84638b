"""Data to pre-train models on here: captions, questions and named regions of one data set, by split."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from amad_bench.data.formats.records import Example, SplitSource
from amad_bench.data.images.prepare import keep_images, load_images, prepare_images
from amad_bench.data.images.table import ImageTable, mapped
from amad_bench.data.pretraining.split import PretrainingSplit
from amad_bench.data.sources.examples import dataset_folder, prepared_folder, read_examples
from amad_bench.data.tasks.meta import images_folder, read_meta, write_meta
from amad_bench.data.tasks.texts import make_tokenizer
from amad_bench.data.text.arrays import Encoded
from amad_bench.data.text.columns import NUMBER_OF, TEXT, TEXTS, Column, write_columns
from amad_bench.data.text.tokenizer import Tokenizer
from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.run_config import DataSpec, RunConfig
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import atomic_directory

if TYPE_CHECKING:
    from collections.abc import Iterable

_SPLITS = ("train", "validation")  # there is no test: models are tested on their tasks
_COLUMNS = {
    "captions": {"captions": TEXT},
    "questions": {"questions": TEXT, "answers": NUMBER_OF},
    "phrases": {"phrases": TEXTS},
}


@dataclass(frozen=True)
class PretrainingData:
    """Everything a run of kind "pretrain" trains on.

    facts, for status.json: captions, questions and images by split, `features` and tokenizer_sha256.
    """

    train: PretrainingSplit
    validation: PretrainingSplit
    images: ImageTable
    tokenizer: Tokenizer
    facts: dict[str, Any]


def prepare_pretraining(config: RunConfig, image_cache_gb: float | None = None) -> Path:
    """The prepared folder of a run of kind "pretrain"; made when absent. Its conditions share it.

    image_cache_gb: see `prepare_images`. Two processes may call it at once. UserError: whatever is wrong with
    the data set's files.
    """
    dataset = config.dataset
    prepared = prepared_folder(config)
    if prepared.is_dir():
        keep_images(images_folder(prepared), image_cache_gb)
        return prepared
    folder = dataset_folder(dataset)
    captions, questions = (read_examples(dataset, task, folder) for task in ("captioning", "vqa"))
    images = prepare_images(folder, config, _joined(captions, questions), image_cache_gb)
    tokenizer = make_tokenizer(config, folder)
    _check_tokenizer(config, tokenizer)
    with atomic_directory(prepared) as temporary:
        splits = [
            _write_split(temporary, config, captions, questions, split, load_images(images), tokenizer)
            for split in _SPLITS
        ]
        facts: dict[str, Any] = {
            name: dict(zip(_SPLITS, (by[name] for by in splits), strict=True)) for name in splits[0]
        }
        longest = facts.pop("longest")
        facts["features"] = config.inputs.phrase
        write_meta(temporary, config, images, tokenizer, facts, longest=longest)
    return prepared


def load_pretraining(config: RunConfig) -> PretrainingData:
    """Texts, images and tokenizer of a run of kind "pretrain" (prepared first when absent)."""
    folder = prepare_pretraining(config)
    meta, images, tokenizer = read_meta(folder)
    train, validation = (_load_split(folder, split, meta["longest"][split]) for split in _SPLITS)
    return PretrainingData(train, validation, images, tokenizer, meta["facts"])


def _check_tokenizer(data: DataSpec, tokenizer: Tokenizer) -> None:
    """Masked spans need their sentinels; a folder without a wanted mask was refused when it was read."""
    try:
        for name in reversed(FAMILIES[data.family].tokens.sentinels):
            tokenizer.id_of(name)
    except ValueError as error:
        raise UserError(
            f"{data.tokenizer.folder}: {error}, which stands for masked words; take T5's tokenizer or "
            "another one that has it"
        ) from None


def _joined(*tasks: dict[str, SplitSource]) -> dict[str, SplitSource]:
    """All examples of a split, for their images. The test's too: so the tasks share these prepared images."""
    return {
        split: replace(
            tasks[0][split],
            examples=[example for sources in tasks for example in sources[split].examples],
            photos=tuple(dict.fromkeys(base for sources in tasks for base in sources[split].photos)),
        )
        for split in tasks[0]
    }


def _write_split(
    folder: Path,
    data: DataSpec,
    captioned: dict[str, SplitSource],
    asked: dict[str, SplitSource],
    split: str,
    images: ImageTable,
    tokenizer: Tokenizer,
) -> dict[str, int]:
    """Three Arrow files, each with the image rows beside it as .npy; the counts, and the longest text."""
    row_of = {name: row for row, name in enumerate(images.ids)}
    questions = asked[split].examples
    # in validation, too, all captions of an image count
    captions = [(example, text) for example in captioned[split].examples for text in example.references]
    rows = {
        "captions": [_row(example, row_of) for example, _ in captions],
        "questions": [_row(example, row_of) for example in questions],
    }
    shown = sorted({*rows["captions"], *rows["questions"]} - {-1})
    named = _phrases(data, captioned[split], images, shown)
    rows["phrases"] = list(named)
    content: dict[str, Iterable[tuple[Any, ...]]] = {
        "captions": ((text,) for _, text in captions),
        "questions": ((e.source, e.answer_scores or {e.target: 1.0}) for e in questions),
        "phrases": ((phrases,) for phrases in named.values()),
    }
    for part, types in _COLUMNS.items():
        write_columns(folder / f"{split}_{part}.arrow", types, content[part])
        np.save(folder / f"{split}_{part}_rows.npy", np.array(rows[part], np.int32))
    texts = [*(text for _, text in captions), *(example.source for example in questions)]
    longest = Encoded(tokenizer, texts, with_start=FAMILIES[data.family].tokens.starts is not None).longest
    return {
        "captions": len(captions),
        "questions": len(questions),
        "images": len(shown),
        "longest": longest,
    }


def _row(example: Example, row_of: dict[str, int]) -> int:
    return -1 if example.image is None else row_of[example.image]


def _phrases(
    data: DataSpec, source: SplitSource, images: ImageTable, rows: list[int]
) -> dict[int, list[str]]:
    """Row of the image table -> a phrase or "" for each of its regions; only images with a phrase."""
    if not FAMILIES[data.family].grounded or source.phrases is None:
        return {}
    found = {}
    for row in rows:
        arrays = images.read(np.array([row]))
        boxes_R4 = arrays["boxes"][0][arrays["vis_attention_mask"][0]]
        found[row] = source.phrases(images.ids[row], boxes_R4)
    return {row: phrases for row, phrases in found.items() if any(phrases)}


def _load_split(folder: Path, split: str, longest: int) -> PretrainingSplit:
    columns: dict[str, Column[Any]] = {
        name: Column(folder / f"{split}_{part}.arrow", name)
        for part, types in _COLUMNS.items()
        for name in types
    }
    rows = (mapped(folder / f"{split}_{part}_rows.npy") for part in _COLUMNS)
    caption_rows_C, question_rows_Q, phrase_rows_M = rows
    return PretrainingSplit(
        **columns,
        caption_rows_C=caption_rows_C,
        question_rows_Q=question_rows_Q,
        phrase_rows_M=phrase_rows_M,
        longest=longest,
    )
