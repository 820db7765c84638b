"""Splits that a data set's owner does not give, made by hashes."""

import hashlib
from collections.abc import Mapping, Sequence

from amad_bench.data.formats.records import Example, SplitSource


def share_of(text: str) -> float:
    """A number from [0, 1) that is a function of the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64


def with_validation(
    given: Mapping[str, Sequence[Example]], name: str, share: float
) -> dict[str, SplitSource]:
    """A share of the train images that are in no test is held out, chosen by a hash of the image id.

    given: split -> its examples, "train" and one test or more.
    """
    images = {split: {example.cluster_id for example in examples} for split, examples in given.items()}
    tested = set().union(*(of_split for split, of_split in images.items() if split != "train"))
    held_out = {image for image in images["train"] - tested if share_of(f"{name}|validation|{image}") < share}
    train = given["train"]
    return {
        "train": SplitSource([example for example in train if example.cluster_id not in held_out]),
        "validation": SplitSource([example for example in train if example.cluster_id in held_out]),
        **{split: SplitSource(list(examples)) for split, examples in given.items() if split != "train"},
    }
