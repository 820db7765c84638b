"""Whether a config's data sets have the options they are given, and data of one's own all that they need."""

import re
from collections.abc import Iterator

from amad_bench.plan.catalogue import DATASETS, FORMATS
from amad_bench.plan.catalogue.options import check_options
from amad_bench.plan.config.datasets import DatasetEntry, OwnDataset, options_of
from amad_bench.plan.config.schema import Config
from amad_bench.plan.shown import shown

_IMAGE_NAME = re.compile(r"[^{}/\x00-\x1f]*\{image_id(:0[1-9]\d?)?\}[^{}/\x00-\x1f]*")


def check_datasets(config: Config) -> Iterator[str]:
    """Messages about the entries of `datasets`."""
    for name, entry in config.datasets.items():
        where = f"datasets.{name}"
        if isinstance(entry, DatasetEntry):
            own = tuple(DatasetEntry.model_fields)
            yield from check_options(where, entry.given, DATASETS[name].options, own)
            continue
        own = tuple(OwnDataset.model_fields)
        problems = list(check_options(where, entry.given, FORMATS[entry.format].options, own))
        yield from problems or _own(config, where, name, entry)


def _own(config: Config, where: str, name: str, entry: OwnDataset) -> Iterator[str]:
    """Messages about what only a user can know of data of one's own."""
    options = options_of(name, entry)
    if entry.format == "sentences" and not options["language"].strip():
        yield f"{where}.language: missing; say what English is translated into, for example German"
    image_name = options.get("image_name", "")
    if image_name and not _IMAGE_NAME.fullmatch(image_name):
        yield (
            f"{where}.image_name: expected a file name with one {{image_id}} (or {{image_id:012}}, filled up "
            f"with zeros), found {shown(image_name)}"
        )
        return
    named = {
        "vqa": bool(image_name),
        "captions": True,
        "sentences": any("images" in paths for paths in entry.files.values()),
    }[entry.format]
    given = entry.photos or entry.features
    if given and not named:
        key = "image_name" if entry.format == "vqa" else "files.train.images"
        yield f"{where}.{key}: missing; it says which photo belongs to which record"
    needing = [
        f"tasks[{index}]"
        for index, task in enumerate(config.tasks)
        if task.dataset == name
        and task.family in config.models
        and config.models[task.family].inputs.reads == "photos"
    ]
    if named and not entry.photos and (needing or not given):
        users = f" ({', '.join(needing)})" if needing else ""
        yield f"{where}.photos: missing; the records name images{users}: list their folders or .tar archives"
