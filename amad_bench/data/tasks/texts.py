"""The texts of each task as a family's model reads and writes them, and the vocabulary for them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from amad_bench.data.formats.records import Example, SplitSource
from amad_bench.data.sources.examples import read_examples
from amad_bench.data.text.pretraining_text import MATCHED, MISMATCHED, PREFIXES
from amad_bench.data.text.tokenizer import Tokenizer, load_folder_tokenizer, train_tokenizer
from amad_bench.plan.run_config import DataSpec
from amad_bench.runtime.paths import amad_data

# VL-T5's official prefixes; BLIP gets the bare question, and its caption follows a prompt.
_SOURCES = {
    ("vlt5", "vqa"): "vqa: {}",
    ("vlt5", "captioning"): "caption:",
    ("vlt5", "translation"): "translate English to {language}: {}",
    ("blip", "vqa"): "{}",
    ("blip", "captioning"): "a picture of",
}
PROMPT = ("blip", "captioning")  # its source is continued by the caption: no EOS between them
ENCODED = ("blip", "vqa")  # its source is read by BLIP's text encoder, whose texts begin with a start token
_LANGUAGES = {"de": "German", "fr": "French"}


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
    template = _SOURCES[data.family, data.task]
    language = str(data.dataset.options.get("language", "de"))
    language = _LANGUAGES.get(language, language)  # one's own sentences name it themselves
    return (template.format(example.source, language=language) for example in task_examples(split, source))


def target_texts(split: str, source: SplitSource) -> Iterator[str]:
    return (example.target for example in task_examples(split, source))


def make_tokenizer(data: DataSpec, folder: Path, train: SplitSource | None = None) -> Tokenizer:
    """A given one, or one that learns from training splits alone: of the run's own task, or of several.

    folder: the data set's generated files. train: the training split of the run's own task, when it has one.
    """
    wanted, family = data.tokenizer, data.family
    if wanted.folder is not None:
        return load_folder_tokenizer(amad_data() / wanted.folder, family)
    if wanted.vocabulary is None:
        raise ValueError("a tokenizer is read from a folder or has the size of its vocabulary")
    if wanted.tasks is not None:
        texts = _shared_texts(data, wanted.tasks, folder)
        return train_tokenizer(texts, wanted.vocabulary, family, pretraining=True)
    if train is None:
        raise ValueError("a tokenizer of a single task needs its training split")
    return train_tokenizer(_train_texts(data, train), wanted.vocabulary, family)


def _train_texts(data: DataSpec, train: SplitSource) -> Iterator[str]:
    yield from source_texts(data, "train", train)
    yield from target_texts("train", train)


def _shared_texts(data: DataSpec, tasks: Sequence[str], folder: Path) -> Iterator[str]:
    """Texts of all tasks that share a vocabulary, whichever asks for it.

    VL-T5's pre-training prefixes come as often as its tasks' own, so that they are as short in ids.
    """
    for task in tasks:
        train = read_examples(data.dataset, task, folder)["train"]
        yield from _train_texts(data.model_copy(update={"task": task}), train)
        if data.family == "vlt5" and task == "captioning":
            for _ in task_examples("train", train):
                yield from (*PREFIXES.values(), MATCHED, MISMATCHED)
