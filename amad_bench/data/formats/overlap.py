"""Images that several splits of a data set share: whoever reads its scores must know of them."""

from collections.abc import Mapping
from itertools import combinations

from amad_bench.data.formats.records import SplitSource

NO_OVERLAP = "none"


def image_overlap(sources: dict[str, SplitSource]) -> dict[str, int]:
    """{"train/test": number of images with examples in both}, pairs that share none left out."""
    images = {split: {example.cluster_id for example in source.examples} for split, source in sources.items()}
    shared = {f"{a}/{b}": len(images[a] & images[b]) for a, b in combinations(images, 2)}
    return {pair: count for pair, count in shared.items() if count}


def describe_overlap(overlap: Mapping[str, int]) -> str:
    """ "train/test 1409; train/validation 3", or "none"."""
    return "; ".join(f"{pair} {count}" for pair, count in overlap.items()) or NO_OVERLAP
