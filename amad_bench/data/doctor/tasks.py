"""Content of the files of a config's tasks: quick checks for what `amad-bench data` would refuse."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from amad_bench.data.formats.overlap import describe_overlap, image_overlap
from amad_bench.data.formats.records import SplitSource
from amad_bench.data.images.kind import image_kind
from amad_bench.data.images.photos import Photos
from amad_bench.data.images.prepare import find_images, photo_bases
from amad_bench.data.sources.examples import read_examples
from amad_bench.data.text.tokenizer import load_folder_tokenizer
from amad_bench.plan.config.schema import Config, TaskEntry
from amad_bench.plan.datafiles import missing
from amad_bench.plan.task_data import data_sources, planned_data
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.paths import amad_data


@dataclass(frozen=True)
class Check:
    """Finding about the content of files.

    name: "dataset task", or "family task dataset" of the one task entry concerned. text: an error, unless ok.
    """

    name: str
    text: str
    ok: bool


def examine_tasks(config: Config) -> list[Check]:
    """The examples of each task of a data set, counted, and every error; for entries with all their files.

    Examples are read as for preparing, all images are looked up, features of one image per file are read,
    tokenizers and vision models are loaded and tried.
    """
    groups: dict[tuple[str, str], list[TaskEntry]] = {}
    for entry in config.tasks:
        if (wanted := data_sources(config, entry)) and not missing(wanted):
            groups.setdefault((entry.dataset, entry.task), []).append(entry)
    return [check for entries in groups.values() for check in _examine(config, entries)]


def _examine(config: Config, entries: Sequence[TaskEntry]) -> Iterator[Check]:
    """Checks of the entries for one task of one data set."""
    dataset, task = entries[0].dataset, entries[0].task
    sources = None
    if not config.record(dataset).generated:
        try:
            sources = read_examples(planned_data(config, entries[0]).dataset, task, Path())
        except UserError as error:
            yield Check(f"{dataset} {task}", str(error), ok=False)
        else:
            yield Check(f"{dataset} {task}", _counts(sources), ok=True)
    for entry in entries:
        for step in _steps(config, entry, sources):
            try:
                step()
            except UserError as error:
                yield Check(f"{entry.family} {task} {dataset}", str(error), ok=False)


def _counts(sources: dict[str, SplitSource]) -> str:
    counts = ", ".join(f"{split} {len(source.examples):,}" for split, source in sources.items())
    return f"{counts}; images in two splits: {describe_overlap(image_overlap(sources))}"


def _steps(
    config: Config, entry: TaskEntry, sources: dict[str, SplitSource] | None
) -> Iterator[Callable[[], object]]:
    """Each raises UserError for what cannot be used. sources: None when there are none to look at."""
    spec, root = planned_data(config, entry), amad_data()
    inputs, tokenizer = spec.inputs, entry.tokenizer

    def images() -> None:
        if sources is not None:
            with Photos(photo_bases(sources)) as photos:
                find_images(spec.dataset, inputs, sources, photos)

    yield images
    yield image_kind(inputs).feature_size  # tries the model that makes them, where there is one
    if tokenizer is not None:
        yield lambda: load_folder_tokenizer(root / tokenizer, entry.family)
