"""Data that the runs of a task entry share: the examples, and how a model reads them."""

from collections.abc import Sequence

from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.config.schema import Config, TaskEntry
from amad_bench.plan.datafiles import Source, content_hash, dataset_hash, missing, sources
from amad_bench.plan.run_config import DataSpec, UsedDataset, UsedTokenizer
from amad_bench.runtime.errors import UserError


class DataMissing(Exception):
    """Data, or checkpoints, that are not there or not readable; str() is the reason."""


def data_sources(config: Config, entry: TaskEntry) -> list[Source]:
    """Sources of an entry's examples, all below AMAD_DATA: without them none of its runs can be."""
    return [*_examples(config, entry, entry.task), *_pretrained(config, entry).values()]


def pretraining_sources(config: Config, entry: TaskEntry) -> list[Source]:
    """Sources of what an entry's models are pre-trained on here."""
    if not pretrains_here(config, entry.family):
        return []
    found = (source for task in ("vqa", "captioning") for source in _examples(config, entry, task))
    return list(dict.fromkeys(found))


def checkpoint_sources(config: Config, entry: TaskEntry) -> list[Source]:
    """The checkpoints from which some of an entry's runs start."""
    conditions = {*config.pretraining.teacher, *config.pretraining.student}
    wanted = {
        path: None
        for _, _, size in config.models[entry.family].sizes
        for condition, paths in size.checkpoints.items()
        if condition in conditions
        for path in paths
    }
    return [Source(path, "checkpoint") for path in wanted]


def _examples(config: Config, entry: TaskEntry, task: str) -> list[Source]:
    dataset = config.datasets[entry.dataset]
    reads = config.inputs_of(entry).reads
    return sources(entry.dataset, task, config.options(entry.dataset), reads, dataset.features)


def _pretrained(config: Config, entry: TaskEntry) -> dict[str, Source]:
    """Folders of pretrained parts that make the data: of a vision model, of a tokenizer."""
    inputs = config.inputs_of(entry)
    found: dict[str, Source] = {}
    if inputs.model_folder is not None:
        found["inputs"] = Source(inputs.model_folder, "folder")
    if entry.tokenizer is not None:
        found["tokenizer"] = Source(entry.tokenizer, "folder")
    return found


def pretrains_here(config: Config, family: str) -> bool:
    """Whether some of the family's models are pre-trained by this config's own runs."""
    wanted = {*config.pretraining.teacher, *config.pretraining.student}
    return not wanted.isdisjoint(config.pretraining.training.get(family, {}))


def _tokenizer_tasks(config: Config, entry: TaskEntry) -> list[str] | None:
    """A pre-trained model serves every task, so its tokenizer learns from all of them.

    Only such a tokenizer has the tokens of pre-training, which an option may need, too.
    """
    family = FAMILIES[entry.family]
    options, wanted_by = config.models[entry.family].options(entry.family), family.tokens.wanted_by
    shared = pretrains_here(config, entry.family) or (wanted_by is not None and options[wanted_by])
    if entry.tokenizer is not None or not shared:
        return None
    return sorted(set(family.tasks).intersection(config.record(entry.dataset).tasks))


def planned_data(config: Config, entry: TaskEntry) -> DataSpec:
    """An entry's data as far as the config file says it: without the hashes of what is read."""
    dataset, inputs = config.datasets[entry.dataset], config.inputs_of(entry)
    return DataSpec(
        family=entry.family,
        task=entry.task,
        dataset=UsedDataset(
            name=entry.dataset,
            options=config.options(entry.dataset),
            limit=dataset.limit,
            features=dataset.features if inputs.reads == "features" else None,
            version=config.record(entry.dataset).version,
            hash=None,
        ),
        inputs=inputs,
        inputs_hash=None,
        tokenizer=UsedTokenizer(
            folder=entry.tokenizer, vocabulary=entry.vocabulary, tasks=_tokenizer_tasks(config, entry)
        ),
    )


def present_data(config: Config, entry: TaskEntry) -> DataSpec:
    """An entry's data with the hashes of what they are read from; DataMissing when that is not there."""
    spec = planned_data(config, entry)
    _require(data_sources(config, entry))
    try:
        known = dataset_hash(entry.dataset, spec.dataset.options, _examples(config, entry, entry.task))
        folders = {part: content_hash([source]) for part, source in _pretrained(config, entry).items()}
    except UserError as error:  # there, but not readable
        raise DataMissing(str(error)) from None
    return spec.model_copy(
        update={
            "dataset": spec.dataset.model_copy(update={"hash": known}),
            "inputs_hash": folders.get("inputs"),
            "tokenizer": spec.tokenizer.model_copy(update={"hash": folders.get("tokenizer")}),
        }
    )


def pretraining_data(config: Config, entry: TaskEntry, spec: DataSpec) -> DataSpec:
    """The data of an entry's pre-trainings, on captions and questions for all tasks.

    spec: the entry's own data; without hashes, the answer has none either. DataMissing as above.
    """
    dataset = spec.dataset
    if dataset.hash is not None:
        wanted = pretraining_sources(config, entry)
        _require(wanted)
        try:
            known = dataset_hash(entry.dataset, dataset.options, wanted)
        except UserError as error:
            raise DataMissing(str(error)) from None
        dataset = dataset.model_copy(update={"hash": known})
    return spec.model_copy(update={"task": "pretraining", "dataset": dataset})


def checkpoints_hash(paths: Sequence[str]) -> str:
    """The hash of the content of checkpoints; DataMissing when one is not there."""
    wanted = [Source(path, "checkpoint") for path in paths]
    _require(wanted)
    try:
        return content_hash(wanted)
    except UserError as error:
        raise DataMissing(str(error)) from None


def _require(wanted: Sequence[Source]) -> None:
    if reason := missing(wanted):
        raise DataMissing(reason)
