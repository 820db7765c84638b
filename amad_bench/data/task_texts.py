"""The texts of each task as a family's model reads and writes them, and the vocabulary for them."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from amad_bench.data.datasets import read_examples
from amad_bench.data.pretraining_text import MATCHED, MISMATCHED, PREFIXES
from amad_bench.data.records import Example, SplitSource
from amad_bench.data.tokenizer import Tokenizer, load_folder_tokenizer, train_tokenizer
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


def source_texts(run_config: dict[str, Any], split: str, source: SplitSource) -> Iterator[str]:
    template = _SOURCES[run_config["family"], run_config["task"]]
    language = _LANGUAGES[run_config["dataset"]["options"].get("language", "de")]
    return (template.format(example.source, language=language) for example in task_examples(split, source))


def target_texts(split: str, source: SplitSource) -> Iterator[str]:
    return (example.target for example in task_examples(split, source))


def make_tokenizer(run_config: dict[str, Any], folder: Path, train: SplitSource | None = None) -> Tokenizer:
    """A given one, or one that learns from training splits alone: of the run's own task, or of several.

    folder: the data set's generated files. train: the training split of the run's own task, when it has one.
    """
    wanted, family = run_config["tokenizer"], run_config["family"]
    if "folder" in wanted:
        return load_folder_tokenizer(amad_data() / wanted["folder"], family)
    if "tasks" in wanted:
        texts = _shared_texts(run_config, folder)
        return train_tokenizer(texts, wanted["vocabulary"], family, pretraining=True)
    if train is None:
        raise ValueError("a tokenizer of a single task needs its training split")
    return train_tokenizer(_train_texts(run_config, train), wanted["vocabulary"], family)


def _train_texts(run_config: dict[str, Any], train: SplitSource) -> Iterator[str]:
    yield from source_texts(run_config, "train", train)
    yield from target_texts("train", train)


def _shared_texts(run_config: dict[str, Any], folder: Path) -> Iterator[str]:
    """Texts of all tasks that share a vocabulary, whichever asks for it.

    VL-T5's pre-training prefixes come as often as its tasks' own, so that they are as short in ids.
    """
    for task in run_config["tokenizer"]["tasks"]:
        train = read_examples(run_config["dataset"], task, folder)["train"]
        yield from _train_texts({**run_config, "task": task}, train)
        if run_config["family"] == "vlt5" and task == "captioning":
            for _ in task_examples("train", train):
                yield from (*PREFIXES.values(), MATCHED, MISMATCHED)
