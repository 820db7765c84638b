"""The texts of each task as a family's model reads and writes them, and the vocabulary for them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from amad_bench.data.formats.records import Example, SplitSource
from amad_bench.data.sources.examples import read_examples
from amad_bench.data.text.arrays import Encoded
from amad_bench.data.text.tokenizer import Tokenizer, load_folder_tokenizer, train_tokenizer
from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.run_config import DataSpec
from amad_bench.runtime.paths import amad_data


def task_examples(split: str, source: SplitSource) -> Iterator[Example]:
    """Training sees each caption of an image as an example of its own; questions keep their one target."""
    for example in source.examples:
        if split != "train":
            yield example
        elif example.source:
            yield replace(example, references=(example.target,))
        else:
            for number, text in enumerate(example.references):
                yield replace(
                    example, example_id=f"{example.example_id}#{number}", target=text, references=(text,)
                )


def source_texts(data: DataSpec, split: str, source: SplitSource) -> Iterator[str]:
    template = FAMILIES[data.family].by_task[data.task].prompt
    language = data.dataset.record.language(data.dataset.options)
    return (template.format(example.source, language=language) for example in task_examples(split, source))


def encoded_sources(tokenizer: Tokenizer, data: DataSpec, split: str, source: SplitSource) -> Encoded:
    """The ids that a family's model reads of each example."""
    own = FAMILIES[data.family].by_task[data.task]
    return Encoded(tokenizer, source_texts(data, split, source), not own.continued, own.with_start)


def target_texts(split: str, source: SplitSource) -> Iterator[str]:
    return (example.target for example in task_examples(split, source))


def make_tokenizer(data: DataSpec, folder: Path, train: SplitSource | None = None) -> Tokenizer:
    """A given one, or one that learns from training splits alone: of the run's own task, or of several.

    folder: the data set's generated files. train: the training split of the run's own task, when it has one.
    """
    wanted, tokens = data.tokenizer, FAMILIES[data.family].tokens
    if wanted.folder is not None:
        return load_folder_tokenizer(amad_data() / wanted.folder, data.family)
    if wanted.vocabulary is None:
        raise ValueError("a tokenizer is read from a folder or has the size of its vocabulary")
    if wanted.tasks is not None:
        texts = _shared_texts(data, wanted.tasks, folder)
        return train_tokenizer(texts, wanted.vocabulary, tokens, pretraining=True)
    if train is None:
        raise ValueError("a tokenizer of a single task needs its training split")
    return train_tokenizer(_train_texts(data, train), wanted.vocabulary, tokens)


def _train_texts(data: DataSpec, train: SplitSource) -> Iterator[str]:
    yield from source_texts(data, "train", train)
    yield from target_texts("train", train)


def _shared_texts(data: DataSpec, tasks: Sequence[str], folder: Path) -> Iterator[str]:
    """Texts of all tasks that share a vocabulary, whichever asks for it.

    Texts of the family's pre-training come as often as its tasks' own, so that they are as short in ids.
    """
    for task in tasks:
        train = read_examples(data.dataset, task, folder)["train"]
        yield from _train_texts(data.model_copy(update={"task": task}), train)
        if task == "captioning":
            for _ in task_examples("train", train):
                yield from FAMILIES[data.family].pretraining_texts
