"""51,023 questions of VQA v2; the few whose photo is among those of coco_mini have it, the others none."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amad_bench.data.formats.records import SplitSource
from amad_bench.data.formats.vqa import read_vqa
from amad_bench.data.images.photos import Photos
from amad_bench.data.sources.coco_mini import image_name
from amad_bench.data.sources.splits import with_validation


def read(files: Mapping[str, Path], _task: str, _options: Mapping[str, Any]) -> dict[str, SplitSource]:
    """Its train and test split share 1,409 images.

    Validation: a tenth of the other train images, by a hash of the image id, so that what is selected on
    validation is not selected on test images.
    """
    with Photos([files["photos"]]) as archive:
        names = frozenset(archive.names)

    def name_where_there(image_id: int) -> str | None:
        name = image_name(image_id)
        return name if name in names else None

    given = {
        split: read_vqa(files[f"questions_{split}"], files[f"annotations_{split}"], name_where_there)
        for split in ("train", "test")
    }
    return with_validation(given, "vqa_v2_subset", 0.1)
