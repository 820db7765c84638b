"""Questions without answers as a run's model reads them, with photos that are no part of its data set."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from amad_bench.data.formats.questions_only import read_questions_only
from amad_bench.data.formats.records import SplitSource
from amad_bench.data.images.numbered import NumberedPhotos
from amad_bench.data.images.photos import Photos
from amad_bench.data.images.prepare import load_images, prepare_images
from amad_bench.data.images.table import ImageTable
from amad_bench.data.sources.examples import dataset_folder, true_boxes
from amad_bench.data.tasks.data import Split
from amad_bench.data.tasks.texts import encoded_sources
from amad_bench.data.text.tokenizer import Tokenizer
from amad_bench.plan.run_config import DataSpec

_NAME = "questions"


def load_unanswered(
    data: DataSpec,
    tokenizer: Tokenizer,
    questions: Path,
    photos: Path,
    folder: Path,
    features: Sequence[Path] = (),
    shortest: int = 0,
    image_cache_gb: float | None = None,
) -> tuple[Split, ImageTable]:
    """The questions in file order, their targets empty, and the images, made in `folder`, an empty one.

    data: of the run. photos: a folder, or an archive, whose names end in the image ids. features: of a run
    whose inputs are precomputed features, files with those of the photos. shortest: tokens that sources are
    padded to at least. image_cache_gb: see `prepare_images`. UserError: see `read_questions_only`; a photo or
    features that are missing or damaged.
    """
    base = photos.with_suffix("") if photos.suffix == ".tar" else photos
    with Photos([base]) as archive:
        numbered = NumberedPhotos(archive.names, photos)
    boxes = None
    if data.inputs.needs_boxes:  # of generated data: its boxes hold those of these photos
        boxes = true_boxes(data.dataset, data.task, dataset_folder(data.dataset))
    source = SplitSource(read_questions_only(questions, numbered.name), (base,), boxes=boxes)
    dataset = data.dataset
    if features:
        dataset = dataset.model_copy(update={"features": [str(path.absolute()) for path in features]})
    seen = data.model_copy(update={"dataset": dataset})
    images = load_images(prepare_images(folder, seen, {_NAME: source}, image_cache_gb))
    row_of = {name: row for row, name in enumerate(images.ids)}
    encoded = encoded_sources(tokenizer, data, _NAME, source)
    path = folder / "source_ids.npy"
    encoded.save(path, max(encoded.longest, shortest))
    count = len(source.examples)
    split = Split(
        example_ids=[example.example_id for example in source.examples],
        cluster_ids=[example.cluster_id for example in source.examples],
        source_ids_NL=np.load(path),
        target_ids_NL=np.full((count, 1), tokenizer.pad),
        image_rows_N=np.array([row_of[str(example.image)] for example in source.examples]),
        references=[[] for _ in range(count)],
        groups=[{} for _ in range(count)],
        answer_scores=[{} for _ in range(count)],
        pad=tokenizer.pad,
    )
    return split, images
