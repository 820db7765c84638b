"""What the runs of a cell share: the examples, and the form in which a model reads them."""

from typing import Any

from amad_bench.plan.catalogue import DATASETS
from amad_bench.plan.datafiles import Need, content_hash, dataset_hash, missing, needs
from amad_bench.plan.schema import Cell, Config, ExtractedInputs
from amad_bench.runtime.errors import UserError


class DataMissing(Exception):
    """A cell's data are not there, or not readable; str() is the reason."""


def data_needs(config: Config, cell: Cell) -> list[Need]:
    """Everything below AMAD_DATA that the cell's runs read."""
    return [*_examples(config, cell), *_pretrained(config, cell).values()]


def _examples(config: Config, cell: Cell) -> list[Need]:
    entry, inputs = config.datasets[cell.dataset], config.models[cell.family].inputs
    return needs(cell.dataset, cell.task, entry.options(cell.dataset), inputs.kind, entry.features)


def _pretrained(config: Config, cell: Cell) -> dict[str, Need]:
    """Folders of pretrained parts that make the data: of a vision model, of a tokenizer."""
    inputs = config.models[cell.family].inputs
    found = {}
    if isinstance(inputs, ExtractedInputs):
        found["inputs"] = Need(inputs.model, "folder")
    if cell.tokenizer is not None:
        found["tokenizer"] = Need(cell.tokenizer, "folder")
    return found


def cell_form(config: Config, cell: Cell) -> dict[str, Any]:
    """The part of the canonical config that all runs of a cell share, as far as the config file says it."""
    entry, inputs = config.datasets[cell.dataset], config.models[cell.family].inputs
    options = entry.options(cell.dataset)
    dataset = {
        "name": cell.dataset,
        "options": options,
        "limit": entry.limit.model_dump() if entry.limit else None,
        "features": entry.features if inputs.kind == "features" else None,
        "version": DATASETS[cell.dataset].version,
    }
    tokenizer = {"vocabulary": cell.vocabulary} if cell.tokenizer is None else {"folder": cell.tokenizer}
    return {
        "family": cell.family,
        "task": cell.task,
        "dataset": dataset,
        "inputs": inputs.model_dump(exclude_none=True),
        "tokenizer": tokenizer,
        "fix": config.fix,
        "decoding": cell.decoding.model_dump(),
    }


def cell_config(config: Config, cell: Cell) -> dict[str, Any]:
    """The form of a cell with the hashes of what it is read from; DataMissing when that is not there."""
    shared = cell_form(config, cell)
    options = shared["dataset"]["options"]
    if reason := missing(data_needs(config, cell)):
        raise DataMissing(reason)
    try:
        shared["dataset"]["hash"] = dataset_hash(cell.dataset, options, _examples(config, cell))
        for part, need in _pretrained(config, cell).items():
            shared[part]["hash"] = content_hash([need])
    except UserError as error:  # there, but not readable
        raise DataMissing(str(error)) from None
    return shared
