"""What the runs of a cell share: the examples, and the form in which a model reads them."""

from collections.abc import Sequence
from typing import Any

from amad_bench.plan.catalogue import DATASETS, FAMILIES
from amad_bench.plan.datafiles import Need, content_hash, dataset_hash, missing, needs
from amad_bench.plan.schema import Cell, Config, ExtractedInputs
from amad_bench.runtime.errors import UserError


class DataMissing(Exception):
    """A cell's data, or weights, are not there or not readable; str() is the reason."""


def data_needs(config: Config, cell: Cell) -> list[Need]:
    """What the cell's examples are made of, all below AMAD_DATA: without it none of its runs can be."""
    return [*_examples(config, cell, cell.task), *_pretrained(config, cell).values()]


def pretraining_needs(config: Config, cell: Cell) -> list[Need]:
    """What the cell's models are pre-trained on here."""
    if not pretrains_here(config, cell.family):
        return []
    return list(
        dict.fromkeys(need for task in ("vqa", "captioning") for need in _examples(config, cell, task))
    )


def weight_needs(config: Config, cell: Cell) -> list[Need]:
    """The checkpoints from which some of the cell's runs start."""
    entry = config.models[cell.family]
    wanted = {
        path: None
        for size in (entry.teacher, *entry.student_sizes.values())
        for condition, paths in size.weights.items()
        if condition in {*config.pretraining.teacher, *config.pretraining.student}
        for path in paths
    }
    return [Need(path, "weights") for path in wanted]


def _examples(config: Config, cell: Cell, task: str) -> list[Need]:
    entry, inputs = config.datasets[cell.dataset], config.inputs_of(cell)
    return needs(cell.dataset, task, entry.options(cell.dataset), inputs.kind, entry.features)


def _pretrained(config: Config, cell: Cell) -> dict[str, Need]:
    """Folders of pretrained parts that make the data: of a vision model, of a tokenizer."""
    inputs = config.inputs_of(cell)
    found = {}
    if isinstance(inputs, ExtractedInputs):
        found["inputs"] = Need(inputs.model, "folder")
    if cell.tokenizer is not None:
        found["tokenizer"] = Need(cell.tokenizer, "folder")
    return found


def pretrains_here(config: Config, family: str) -> bool:
    """Whether some of the family's models are pre-trained by this config's own runs."""
    wanted = {*config.pretraining.teacher, *config.pretraining.student}
    return not wanted.isdisjoint(config.pretraining.training.get(family, {}))


def _tokenizer(config: Config, cell: Cell) -> dict[str, Any]:
    """A pre-trained model serves every task, so its tokenizer learns from all of them.

    Only such a tokenizer has the numbers of regions that order embeddings need.
    """
    if cell.tokenizer is not None:
        return {"folder": cell.tokenizer}
    if not (pretrains_here(config, cell.family) or config.models[cell.family].order_embedding):
        return {"vocabulary": cell.vocabulary}
    tasks = sorted(set(FAMILIES[cell.family].tasks).intersection(DATASETS[cell.dataset].tasks))
    return {"vocabulary": cell.vocabulary, "tasks": tasks}


def cell_form(config: Config, cell: Cell) -> dict[str, Any]:
    """The part of the canonical config that all runs of a cell share, as far as the config file says it."""
    entry, inputs = config.datasets[cell.dataset], config.inputs_of(cell)
    options = entry.options(cell.dataset)
    dataset = {
        "name": cell.dataset,
        "options": options,
        "limit": entry.limit.model_dump() if entry.limit else None,
        "features": entry.features if inputs.kind == "features" else None,
        "version": DATASETS[cell.dataset].version,
    }
    return {
        "family": cell.family,
        "task": cell.task,
        "dataset": dataset,
        "inputs": inputs.model_dump(exclude_none=True),
        "tokenizer": _tokenizer(config, cell),
        "fix": config.fix,
        "decoding": cell.decoding.model_dump(),
    }


def cell_config(config: Config, cell: Cell) -> dict[str, Any]:
    """The form of a cell with the hashes of what it is read from; DataMissing when that is not there."""
    shared = cell_form(config, cell)
    options = shared["dataset"]["options"]
    _require(data_needs(config, cell))
    try:
        shared["dataset"]["hash"] = dataset_hash(cell.dataset, options, _examples(config, cell, cell.task))
        for part, need in _pretrained(config, cell).items():
            shared[part]["hash"] = content_hash([need])
    except UserError as error:  # there, but not readable
        raise DataMissing(str(error)) from None
    return shared


def pretraining_form(config: Config, cell: Cell, shared: dict[str, Any]) -> dict[str, Any]:
    """As `shared`, a cell's form or config, but for pre-training on captions and questions, for all tasks."""
    dataset = dict(shared["dataset"])
    if "hash" in dataset:
        wanted = pretraining_needs(config, cell)
        _require(wanted)
        try:
            dataset["hash"] = dataset_hash(cell.dataset, dataset["options"], wanted)
        except UserError as error:
            raise DataMissing(str(error)) from None
    return {**shared, "task": "pretraining", "dataset": dataset, "decoding": None}


def weights_hash(paths: Sequence[str]) -> str:
    """Of the content of checkpoints; DataMissing when one is not there."""
    wanted = [Need(path, "weights") for path in paths]
    _require(wanted)
    try:
        return content_hash(wanted)
    except UserError as error:
        raise DataMissing(str(error)) from None


def _require(wanted: Sequence[Need]) -> None:
    if reason := missing(wanted):
        raise DataMissing(reason)
