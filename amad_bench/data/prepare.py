"""Files on disk become arrays: generated (scenes), read, tokenised and cropped once, then loaded quickly."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from amad_bench.data.datasets import SplitSource, read_examples
from amad_bench.data.image_table import load_images, prepare_images
from amad_bench.data.records import Example
from amad_bench.data.scenes import SPLITS
from amad_bench.data.scenes_files import write_scenes
from amad_bench.data.task_data import Split, TaskData
from amad_bench.data.tokenizer import EOS, PAD, Tokenizer, load_tokenizer, train_tokenizer
from amad_bench.plan.run import prepared_form, short_hash
from amad_bench.runtime.files import atomic_directory, read_json
from amad_bench.runtime.paths import data_dir

# VL-T5's official prefixes; BLIP gets the bare question, and its caption follows a prompt.
_SOURCES = {
    ("vlt5", "vqa"): "vqa: {}",
    ("vlt5", "captioning"): "caption:",
    ("vlt5", "translation"): "translate English to German: {}",
    ("blip", "vqa"): "{}",
    ("blip", "captioning"): "a picture of",
}
_PROMPT = ("blip", "captioning")  # its source is continued by the caption: no EOS between them


def prepare(run_config: dict[str, Any]) -> Path:
    """The prepared folder of a run's (data set, limit, task, family, inputs, vocabulary); made when absent.

    Two processes may call it at once. UserError: whatever is wrong with the data set's files.
    """
    dataset = run_config["dataset"]
    folder = data_dir(dataset["name"], dataset["hash"])
    prepared = folder / "prepared" / _prepared_name(run_config)
    if prepared.is_dir():
        return prepared
    if dataset["name"] == "scenes" and not folder.is_dir():
        with atomic_directory(folder) as temporary:
            write_scenes(temporary, dataset["options"])
    sources = read_examples(dataset, run_config["task"], folder)
    images = prepare_images(folder, run_config["inputs"], sources)
    sources["train"] = _one_target_each(sources["train"])
    with atomic_directory(prepared) as temporary:
        _write_examples(temporary, run_config, sources, load_images(images).ids)
        meta = {"images": images.name, "config": prepared_form(run_config)}
        (temporary / "meta.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")
    return prepared


def load_task_data(run_config: dict[str, Any]) -> TaskData:
    """Arrays, tokenizer and images of a run (prepared first when they are not there yet)."""
    folder = prepare(run_config)
    train, validation, test = (_load_split(folder, split) for split in SPLITS)
    images = load_images(folder.parent / read_json(folder / "meta.json")["images"])
    return TaskData(train, validation, test, images, load_tokenizer(folder / "tokenizer.json"))


def _prepared_name(run_config: dict[str, Any]) -> str:
    return f"{run_config['family']}-{run_config['task']}-{short_hash(prepared_form(run_config))}"


def _one_target_each(source: SplitSource) -> SplitSource:
    """Training sees each caption of an image as an example of its own; questions keep their one target."""
    examples: list[Example] = []
    for example in source.examples:
        if example.source:
            examples.append(replace(example, references=(example.target,)))
        else:
            examples += [
                replace(example, example_id=f"{example.example_id}#{number}", target=text, references=(text,))
                for number, text in enumerate(example.references)
            ]
    return SplitSource(examples, source.archive)


def _write_examples(
    folder: Path, run_config: dict[str, Any], sources: dict[str, SplitSource], image_names: list[str]
) -> None:
    """tokenizer.json and, for each split, <split>.json with ids and references and three .npy arrays.

    The tokenizer learns from the training split alone. Lengths are the longest of all splits: outputs of a
    teacher can then be kept per example and put into any batch.
    """
    kind = (run_config["family"], run_config["task"])
    texts = {
        split: [_SOURCES[kind].format(example.source) for example in sources[split].examples]
        for split in SPLITS
    }
    targets = {split: [example.target for example in sources[split].examples] for split in SPLITS}
    tokenizer = train_tokenizer([*texts["train"], *targets["train"]], run_config["tokenizer"]["vocabulary"])
    tokenizer.save(folder / "tokenizer.json")
    source_ids = {split: _encode(tokenizer, texts[split], with_eos=kind != _PROMPT) for split in SPLITS}
    target_ids = {split: _encode(tokenizer, targets[split], with_eos=True) for split in SPLITS}
    source_length, target_length = (
        max(len(ids) for rows in encoded.values() for ids in rows) for encoded in (source_ids, target_ids)
    )
    row_of = {name: row for row, name in enumerate(image_names)}
    for split in SPLITS:
        examples = sources[split].examples
        np.save(folder / f"{split}_source_ids.npy", _padded(source_ids[split], source_length))
        np.save(folder / f"{split}_target_ids.npy", _padded(target_ids[split], target_length))
        rows = [-1 if example.image is None else row_of[example.image] for example in examples]
        np.save(folder / f"{split}_image_rows.npy", np.array(rows, np.int64))
        content = {
            "example_ids": [example.example_id for example in examples],
            "cluster_ids": [example.cluster_id for example in examples],
            "references": [example.references for example in examples],
        }
        (folder / f"{split}.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _encode(tokenizer: Tokenizer, texts: list[str], with_eos: bool) -> list[list[int]]:
    end = [EOS] if with_eos else []
    return [ids + end for ids in tokenizer.encode_all(texts)]


def _padded(rows: list[list[int]], length: int) -> np.ndarray:
    padded_NL = np.full((len(rows), length), PAD, np.int64)
    for number, ids in enumerate(rows):
        padded_NL[number, : len(ids)] = ids
    return padded_NL


def _load_split(folder: Path, split: str) -> Split:
    content = read_json(folder / f"{split}.json")
    source_ids_NL, target_ids_NL, image_rows_N = (
        np.load(folder / f"{split}_{name}.npy") for name in ("source_ids", "target_ids", "image_rows")
    )
    return Split(
        content["example_ids"],
        content["cluster_ids"],
        source_ids_NL,
        target_ids_NL,
        image_rows_N,
        content["references"],
    )
