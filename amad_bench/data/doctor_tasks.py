"""What the files of a config's cells hold: what `amad-bench data` would refuse, as far as that is quick."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from amad_bench.data.datasets import read_examples
from amad_bench.data.overlap import describe_overlap, image_overlap
from amad_bench.data.photos import Photos
from amad_bench.data.prepare_images import find_images, photo_bases
from amad_bench.data.records import SplitSource
from amad_bench.data.tokenizer import load_folder_tokenizer
from amad_bench.plan.catalogue import DATASETS
from amad_bench.plan.cell_data import cell_form, data_needs
from amad_bench.plan.datafiles import missing
from amad_bench.plan.schema import Cell, Config
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.paths import amad_data


@dataclass(frozen=True)
class Check:
    """name: "dataset task", or "family task dataset" of the one cell concerned; text: an error, unless ok."""

    name: str
    text: str
    ok: bool


def examine_cells(config: Config) -> list[Check]:
    """The examples of each task of a data set, counted, and every error; of cells whose files are all there.

    Examples are read as for preparing, all images are looked up, features of one image per file are read,
    tokenizers and vision models are loaded and tried.
    """
    groups: dict[tuple[str, str], list[Cell]] = {}
    for cell in config.cells:
        if (needs := data_needs(config, cell)) and not missing(needs):
            groups.setdefault((cell.dataset, cell.task), []).append(cell)
    return [check for cells in groups.values() for check in _examine(config, cells)]


def _examine(config: Config, cells: Sequence[Cell]) -> Iterator[Check]:
    """cells: of one task of one data set."""
    dataset, task = cells[0].dataset, cells[0].task
    sources = None
    if not DATASETS[dataset].generated:
        try:
            sources = read_examples(cell_form(config, cells[0])["dataset"], task, Path())
        except UserError as error:
            yield Check(f"{dataset} {task}", str(error), ok=False)
        else:
            yield Check(f"{dataset} {task}", _counts(sources), ok=True)
    for cell in cells:
        for step in _steps(config, cell, sources):
            try:
                step()
            except UserError as error:
                yield Check(f"{cell.family} {task} {dataset}", str(error), ok=False)


def _counts(sources: dict[str, SplitSource]) -> str:
    counts = ", ".join(f"{split} {len(source.examples):,}" for split, source in sources.items())
    return f"{counts}; images in two splits: {describe_overlap(image_overlap(sources))}"


def _steps(
    config: Config, cell: Cell, sources: dict[str, SplitSource] | None
) -> Iterator[Callable[[], object]]:
    """Each raises UserError for what cannot be used. sources: None when there are none to look at."""
    form, root = cell_form(config, cell), amad_data()
    inputs, tokenizer = form["inputs"], cell.tokenizer

    def images() -> None:
        if sources is not None:
            with Photos(photo_bases(sources)) as photos:
                find_images(form["dataset"], inputs, sources, photos)

    def vision_model() -> None:
        from amad_bench.data.extract import load_extractor  # transformers: slow to import

        load_extractor(root / inputs["model"], inputs, torch.device("cpu"))

    yield images
    if inputs["kind"] == "extracted":
        yield vision_model
    if tokenizer is not None:
        yield lambda: load_folder_tokenizer(root / tokenizer, cell.family)
