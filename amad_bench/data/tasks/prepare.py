"""A task's examples become arrays: read and tokenised once, then loaded quickly."""

from pathlib import Path
from typing import Any

import numpy as np

from amad_bench.data.formats.overlap import image_overlap
from amad_bench.data.formats.records import SplitSource
from amad_bench.data.images.prepare import keep_images, load_images, prepare_images
from amad_bench.data.images.table import mapped
from amad_bench.data.sources.examples import dataset_folder, prepared_folder, read_examples
from amad_bench.data.tasks.answer_arrays import AnswerArrays, load_answers
from amad_bench.data.tasks.data import Split, TaskData
from amad_bench.data.tasks.meta import images_folder, read_meta, write_meta
from amad_bench.data.tasks.texts import (
    encoded_sources,
    make_tokenizer,
    target_texts,
    task_examples,
)
from amad_bench.data.text.arrays import Encoded
from amad_bench.data.text.columns import NUMBER_OF, TEXT, TEXT_OF, TEXTS, Column, write_columns
from amad_bench.data.text.tokenizer import Tokenizer
from amad_bench.plan.catalogue import FAMILIES, SPLITS
from amad_bench.plan.config.inputs import ImageInputs
from amad_bench.plan.run_config import DataSpec
from amad_bench.runtime.files import atomic_directory

_COLUMNS = {
    "example_ids": TEXT,
    "cluster_ids": TEXT,
    "references": TEXTS,
    "groups": TEXT_OF,
    "answer_scores": NUMBER_OF,
}


def prepare_task(data: DataSpec, image_cache_gb: float | None = None) -> Path:
    """The prepared folder of a task's data; made when absent.

    image_cache_gb: see `prepare_images`. Two processes may call it at once. UserError: whatever is wrong with
    the data set's files.
    """
    dataset = data.dataset
    prepared = prepared_folder(data)
    if prepared.is_dir():
        keep_images(images_folder(prepared), image_cache_gb)
        return prepared
    folder = dataset_folder(dataset)
    sources = read_examples(dataset, data.task, folder)
    images = prepare_images(folder, data, sources, image_cache_gb)
    row_of = {name: row for row, name in enumerate(load_images(images).ids)}
    with atomic_directory(prepared) as temporary:
        tokenizer = make_tokenizer(data, folder, sources["train"])
        _write_splits(temporary, data, sources, tokenizer, row_of)
        write_meta(temporary, data, images, tokenizer, _facts(data.inputs, sources))
    return prepared


def load_task_data(data: DataSpec) -> TaskData:
    """Arrays, tokenizer and images of a run (prepared first when they are not there yet).

    What grows with the data set is memory-mapped, or read from its files batch by batch.
    """
    folder = prepare_task(data)
    meta, images, tokenizer = read_meta(folder)
    splits = {split: _load_split(folder, split, tokenizer.pad) for split in meta["facts"]["examples"]}
    return TaskData(
        *(splits.pop(split) for split in SPLITS),
        images=images,
        tokenizer=tokenizer,
        more_tests=splits,
        facts=meta["facts"],
    )


def _facts(inputs: ImageInputs, sources: dict[str, SplitSource]) -> dict[str, Any]:
    photos = {split: {example.image for example in source.examples} for split, source in sources.items()}
    examples = {split: sum(1 for _ in task_examples(split, source)) for split, source in sources.items()}
    with_image = {
        split: sum(example.image is not None for example in task_examples(split, source))
        for split, source in sources.items()
    }
    return {
        "examples": examples,
        "with_image": with_image,
        "photos": {split: len(names - {None}) for split, names in photos.items()},
        "left_out": sources["train"].left_out,
        "answers": sources["train"].answers,
        "image_overlap": image_overlap(sources),
        "features": _features(inputs, examples, with_image),
    }


def _features(inputs: ImageInputs, examples: dict[str, int], with_image: dict[str, int]) -> str:
    """Phrase for what a model sees of an image, and of how many test examples where it is not of all."""
    if not any(with_image.values()):
        return "no image"
    tests = [split for split in examples if split not in ("train", "validation")]
    partly = [
        f"{with_image[split]} of {examples[split]} {split} examples have an image"
        for split in tests
        if with_image[split] < examples[split]
    ]
    return "; ".join([inputs.phrase, *partly])


def _write_splits(
    folder: Path,
    data: DataSpec,
    sources: dict[str, SplitSource],
    tokenizer: Tokenizer,
    row_of: dict[str, int],
) -> None:
    """Writes for each split <split>.arrow (ids, references, groups) and three .npy arrays; see AnswerArrays.

    Lengths are the longest of all splits: outputs of a teacher can then be kept per example and put into any
    batch.
    """
    read = {split: encoded_sources(tokenizer, data, split, source) for split, source in sources.items()}
    written = {split: Encoded(tokenizer, target_texts(split, source)) for split, source in sources.items()}
    drawn = sources["train"].examples if FAMILIES[data.family].by_task[data.task].draws_answers else ()
    answers = AnswerArrays(tokenizer, (example.answer_scores for example in drawn))
    length = max(answers.longest, *(ids.longest for ids in written.values()))
    answers.save(folder, "train", length)
    for split in sources:
        read[split].save(folder / f"{split}_source_ids.npy", max(ids.longest for ids in read.values()))
        written[split].save(folder / f"{split}_target_ids.npy", length)
    for split, source in sources.items():
        rows = (-1 if e.image is None else row_of[e.image] for e in task_examples(split, source))
        np.save(folder / f"{split}_image_rows.npy", np.fromiter(rows, np.int32))
        write_columns(
            folder / f"{split}.arrow",
            _COLUMNS,
            (
                (e.example_id, e.cluster_id, e.references, e.groups, e.answer_scores)
                for e in task_examples(split, source)
            ),
        )


def _load_split(folder: Path, split: str, pad: int) -> Split:
    columns: dict[str, Column[Any]] = {name: Column(folder / f"{split}.arrow", name) for name in _COLUMNS}
    names = ("source_ids", "target_ids", "image_rows")
    source_ids_NL, target_ids_NL, image_rows_N = (mapped(folder / f"{split}_{name}.npy") for name in names)
    return Split(
        source_ids_NL=source_ids_NL,
        target_ids_NL=target_ids_NL,
        image_rows_N=image_rows_N,
        pad=pad,
        answers=load_answers(folder, split),
        **columns,
    )
