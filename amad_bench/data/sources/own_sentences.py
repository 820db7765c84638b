"""One's own sentence pairs, line-aligned as in Multi30K."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amad_bench.data.formats.records import Example, SplitSource
from amad_bench.data.formats.sentences import read_pairs
from amad_bench.data.sources.own import read_splits


def read(files: Mapping[str, Path], _task: str, options: Mapping[str, Any]) -> dict[str, SplitSource]:
    """English and `language`; a split with a list of images has them, the others none."""

    def read_split(of_split: Mapping[str, Path]) -> list[Example]:
        return read_pairs(of_split["source"], of_split["target"], of_split.get("images"))

    return read_splits(files, options, read_split)
