"""The images that the examples name are checked, and made into what a model sees, once per set of images."""

import json
import shutil
from pathlib import Path
from typing import Any

from amad_bench.data.formats.records import SplitSource
from amad_bench.data.images.job import Job
from amad_bench.data.images.kind import image_kind, implementation_of
from amad_bench.data.images.photos import Photos
from amad_bench.data.images.table import ImageTable
from amad_bench.data.text.columns import TEXT, Column, write_columns
from amad_bench.plan.catalogue import PREPARED_VERSION
from amad_bench.plan.config.inputs import IMAGE_CACHE_GB, ImageInputs
from amad_bench.plan.run_config import DataSpec, UsedDataset, short_hash
from amad_bench.plan.teacher_outputs import GB
from amad_bench.runtime.files import abandoned, atomic_directory, read_json
from amad_bench.runtime.locks import exclusive
from amad_bench.runtime.paths import amad_data


def prepare_images(
    data_folder: Path,
    data: DataSpec,
    sources: dict[str, SplitSource],
    image_cache_gb: float | None = None,
) -> Path:
    """Makes what `load_images` reads; the folder depends on all that they are made from.

    image_cache_gb: see `keep_images`; None: a config's default for new images, and others stay as they are.
    UserError: an example's image that is not there, cannot be decoded, has no boxes, or has features that are
    not finite numbers of the right shape.
    """
    with Photos(photo_bases(sources)) as photos:
        names = find_images(data.dataset, data.inputs, sources, photos)
        prepared = data_folder / "prepared"
        prepared.mkdir(parents=True, exist_ok=True)
        # of two places that have a name, the first one's photo is taken: their order counts
        places = list(data.dataset.record.photos(data.dataset.options).values())
        inputs = [data.inputs.model_dump(), data.inputs_hash, data.dataset.features]
        identity = short_hash([PREPARED_VERSION, *inputs, places, names])
        folder = prepared / f"images-{identity}"
        if folder.is_dir():
            keep_images(folder, image_cache_gb)
            return folder
        most_gb = IMAGE_CACHE_GB if image_cache_gb is None else image_cache_gb
        # Several tasks share their images, and may be prepared at once: one of them makes them.
        with exclusive(prepared):
            if not folder.is_dir():
                for killed in abandoned(prepared, folder.name):  # features of all photos, perhaps
                    shutil.rmtree(killed)
                with atomic_directory(folder) as temporary:
                    boxes = next(iter(sources.values())).boxes  # of all splits
                    job = Job(temporary, data_folder, _feature_paths(data.dataset), photos, names, boxes)
                    _write(job, data.inputs, most_gb)
    return folder


def keep_images(folder: Path, image_cache_gb: float | None) -> None:
    """Makes arrays of images that are read anew for each batch, where they take at most that many GB.

    Nothing where that was done before, or nobody says how many. Processes may call it at once, and others may
    be reading the images.
    """
    if image_cache_gb is None:
        return
    facts, ids = _stored(folder)
    kind = implementation_of(facts["kind"])
    if 0 < kind.unkept_bytes(folder, len(ids), facts) <= image_cache_gb * GB:
        with exclusive(folder):
            if kind.unkept_bytes(folder, len(ids), facts):  # another process was first
                kind.keep(folder, ids, facts)


def find_images(
    dataset: UsedDataset, inputs: ImageInputs, sources: dict[str, SplitSource], photos: Photos
) -> list[str]:
    """The names of all images of the examples, sorted; what is known without reading every one is checked.

    UserError: an example's image that is not there; features that do not open or, those of the first image in
    each file, do not fit `inputs`.
    """
    return image_kind(inputs).find(sources, photos, _feature_paths(dataset))


def photo_bases(sources: dict[str, SplitSource]) -> list[Path]:
    """Places where the photos of any split are looked for, the first split's places first."""
    return list(dict.fromkeys(base for source in sources.values() for base in source.photos))


def load_images(folder: Path) -> ImageTable:
    """The table that `prepare_images` made; its arrays memory-mapped, its files opened when read."""
    facts, ids = _stored(folder)
    return implementation_of(facts["kind"]).load(folder, ids, facts)


def _stored(folder: Path) -> tuple[dict[str, Any], Column[str]]:
    return read_json(folder / "images.json"), Column(folder / "images.arrow", "id")


def _feature_paths(dataset: UsedDataset) -> list[Path]:
    return [amad_data() / path for path in dataset.features or ()]


def _write(job: Job, inputs: ImageInputs, most_gb: float) -> None:
    kind = image_kind(inputs)
    facts = {"kind": inputs.kind, **kind.write(job)}
    if 0 < kind.unkept_bytes(job.folder, len(job.names), facts) <= most_gb * GB:
        kind.keep(job.folder, job.names, facts)
    else:
        kind.check(job, facts)
    write_columns(job.folder / "images.arrow", {"id": TEXT}, ((name,) for name in job.names))
    (job.folder / "images.json").write_text(json.dumps(facts), encoding="utf-8")
