"""The examples of a data set's task: which reader finds them, and which of them are used."""

import hashlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from amad_bench.data import official, readers
from amad_bench.data.records import Example, Reader, SplitSource
from amad_bench.data.scenes_files import write_scenes
from amad_bench.plan.catalogue import DATASETS
from amad_bench.plan.run import prepared_form, short_hash
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import atomic_directory
from amad_bench.runtime.paths import amad_data
from amad_bench.runtime.results import RESULTS

READERS: dict[str, Reader] = {
    "scenes": readers.scenes,
    "vqa_v2": official.vqa_v2,
    "coco": official.coco,
    "multi30k": readers.multi30k,
    "daquar": readers.daquar,
    "flickr8k": readers.flickr8k,
    "coco_mini": readers.coco_mini,
    "vqa_v2_subset": readers.vqa_v2_subset,
}


def dataset_folder(dataset: dict[str, Any]) -> Path:
    """Where a data set's generated and prepared files are; a generated data set is written when absent."""
    folder = RESULTS.dataset(dataset["name"], dataset["hash"])
    if DATASETS[dataset["name"]].generated and not folder.is_dir():
        with atomic_directory(folder) as temporary:
            write_scenes(temporary, dataset["options"])
    return folder


def prepared_folder(run_config: dict[str, Any]) -> Path:
    """Where the arrays of a run's (data set, limit, task, family, inputs, tokenizer) are or will be."""
    dataset, form = run_config["dataset"], prepared_form(run_config)
    name = f"{run_config['family']}-{run_config['task']}-{short_hash(form)}"
    return RESULTS.dataset(dataset["name"], dataset["hash"]) / "prepared" / name


def read_examples(dataset: dict[str, Any], task: str, folder: Path) -> dict[str, SplitSource]:
    """split -> examples, in a fixed hashed order, cut to the data set's `limit`.

    limit.test is for every test; one of several that has fewer examples is used whole.

    dataset: the canonical config's record; folder: the generated files (unused for real data sets).
    UserError: an empty split, a limit above a split's examples, and whatever the files' readers find.
    """
    name = dataset["name"]
    sources = READERS[name](folder if name == "scenes" else amad_data(), task, dataset["options"])
    limit = dataset.get("limit")
    chosen = {}
    for split, source in sources.items():
        if not source.examples:
            raise UserError(
                f"{name}: its {split} split has no {task} examples; check the files it is read from"
            )
        size = len(source.examples)
        if limit:
            if limit.get(split, 0) > size:
                raise UserError(
                    f"limit.{split}: {limit[split]} asked for, {name} has {size} {split} examples; lower it"
                )
            size = min(size, limit.get(split, limit["test"]))
        ordered = sorted(source.examples, key=partial(_shuffle_key, name, split))
        chosen[split] = replace(source, examples=ordered[:size])
    return chosen


def _shuffle_key(name: str, split: str, example: Example) -> bytes:
    """The order is a function of names alone: it is the same whatever else stands in the files."""
    return hashlib.sha256(f"{name}|{split}|{example.example_id}".encode()).digest()
