"""Splits of one's own data, in files of any layout."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from amad_bench.data.formats.records import Example, SplitSource
from amad_bench.data.sources.splits import with_validation
from amad_bench.plan.catalogue import FORMATS, own_role
from amad_bench.runtime.errors import UserError

_HELD_OUT = 0.1  # of the training images, where no file is for validation


def read_splits(
    files: Mapping[str, Path],
    options: Mapping[str, Any],
    read_split: Callable[[Mapping[str, Path]], list[Example]],
) -> dict[str, SplitSource]:
    """Examples of each split; `read_split` makes them of its files, which it gets by role.

    Without a validation split, a tenth of the training images that are in no test serve, by a hash of their
    ids (of sentences without images: of the sentences). UserError where that is none.
    """
    layout = FORMATS[options["format"]]
    given = {
        split: read_split(
            {
                role: files[own_role(role, split)]
                for role in (*layout.roles, *layout.optional)
                if role in paths
            }
        )
        for split, paths in options["files"].items()
    }
    if "validation" in given:
        return {split: SplitSource(examples) for split, examples in given.items()}
    sources = with_validation(given, "own", _HELD_OUT)
    if not sources["validation"].examples:
        first = files[own_role(layout.roles[0], "train")]
        raise UserError(
            f"{first}: nothing is left to hold out for validation (too few images, or all in a test); name"
            " the files of a split `validation`"
        )
    return sources
