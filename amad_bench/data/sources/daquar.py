"""DAQUAR in derived files of VQA v2's layout; Malinowski and Fritz 2014."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amad_bench.data.formats.records import SplitSource
from amad_bench.data.formats.vqa import read_vqa
from amad_bench.data.sources.splits import with_validation


def read(files: Mapping[str, Path], _task: str, _options: Mapping[str, Any]) -> dict[str, SplitSource]:
    """DAQUAR has no validation split: a tenth of its train images serve, chosen by a hash of the image id."""
    given = {
        split: read_vqa(
            files[f"questions_{split}"],
            files[f"annotations_{split}"],
            "image{}.jpg".format,
            annotators=1,
        )
        for split in ("train", "test")
    }
    return with_validation(given, "daquar", 26 / 256)
