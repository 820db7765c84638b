"""The images that the examples name are checked, and made into what a model sees, once per set of images."""

import json
import shutil
from pathlib import Path

from amad_bench.data.formats.records import SplitSource
from amad_bench.data.images.job import Job
from amad_bench.data.images.kind import image_kind, implementation_of
from amad_bench.data.images.photos import Photos
from amad_bench.data.images.table import ImageTable
from amad_bench.data.text.columns import TEXT, Column, write_columns
from amad_bench.plan.catalogue import PREPARED_VERSION
from amad_bench.plan.config.inputs import ImageInputs
from amad_bench.plan.run_config import DataSpec, UsedDataset, short_hash
from amad_bench.runtime.files import abandoned, atomic_directory, read_json
from amad_bench.runtime.locks import exclusive
from amad_bench.runtime.paths import amad_data


def prepare_images(data_folder: Path, data: DataSpec, sources: dict[str, SplitSource]) -> Path:
    """Makes what `load_images` reads; the folder depends on all that they are made from.

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
            return folder
        # Several tasks share their images, and may be prepared at once: one of them makes them.
        with exclusive(prepared):
            if not folder.is_dir():
                for killed in abandoned(prepared, folder.name):  # features of all photos, perhaps
                    shutil.rmtree(killed)
                with atomic_directory(folder) as temporary:
                    boxes = next(iter(sources.values())).boxes  # of all splits
                    job = Job(temporary, data_folder, _feature_paths(data.dataset), photos, names, boxes)
                    _write(job, data.inputs)
    return folder


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
    facts = read_json(folder / "images.json")
    ids: Column[str] = Column(folder / "images.arrow", "id")
    return implementation_of(facts["kind"]).load(folder, ids, facts)


def _feature_paths(dataset: UsedDataset) -> list[Path]:
    return [amad_data() / path for path in dataset.features or ()]


def _write(job: Job, inputs: ImageInputs) -> None:
    facts = {"kind": inputs.kind, **image_kind(inputs).write(job)}
    write_columns(job.folder / "images.arrow", {"id": TEXT}, ((name,) for name in job.names))
    (job.folder / "images.json").write_text(json.dumps(facts), encoding="utf-8")
