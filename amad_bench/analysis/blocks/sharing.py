"""Randomness that blocks share, and that keeps them from being independent replicates.

The columns of the table `runs` that tell:

- `teacher_id`: one teacher of several blocks (`teacher_per: sweep`), or one each.
- `seeds`, JSON: `data_order` is hashed from the config's seed, family, task and data set and, only where
  blocks have runs of their own (`teacher_per: block` or `scenes_per: block`; the column `block` names it),
  from the block. Else blocks that differ in their heads share it, and with it much of how training goes.
- `dataset_options`, JSON: the `seed` that images were generated from; each block's own with `scenes_per:
  block`.
- `dataset`, by its record in the catalogue: where photos of real data lie. Data sets may share them (COCO).
  `data_hash` does not tell: of real data it is that of the files that one task reads.
- `start`: the pre-training that a model starts from.
"""

import json
from collections.abc import Sequence

import pandas as pd

from amad_bench.analysis.measured_by import dataset_of
from amad_bench.analysis.run_columns import RANDOM


def drawn(runs: pd.DataFrame) -> frozenset[str]:
    """Names of all that these runs (rows of `runs`) are drawn from, images of real data aside.

    Blocks that share any of it are one: their differences vary together.
    """
    teachers = {f"teacher {found}" for found in runs["teacher_id"].dropna()}
    orders = {f"data order {json.loads(seeds)['data_order']}" for seeds in runs["seeds"]}
    return frozenset(teachers | orders | {name for name in _images(runs) if name.startswith(GENERATED)})


def photos(runs: pd.DataFrame) -> frozenset[str]:
    """Places of the images of real data that these runs see, a draw that nobody can repeat."""
    return frozenset(name for name in _images(runs) if not name.startswith(GENERATED))


def starts(runs: pd.DataFrame) -> frozenset[str]:
    """The pre-trainings that these runs start from."""
    return frozenset(runs["start"].dropna()) - {RANDOM}


def counted_as(parts: Sequence[frozenset[str]]) -> list[int]:
    """By block the place of the first that it shares something with, directly or by others, or its own."""
    first = list(range(len(parts)))
    for place, own in enumerate(parts):
        joined = {first[other] for other in range(place) if own & parts[other]} | {place}
        first = [min(joined) if found in joined else found for found in first]
    return first


GENERATED = "generated "


def _images(runs: pd.DataFrame) -> set[str]:
    found: set[str] = set()
    for name, options in set(zip(runs["dataset"], runs["dataset_options"], strict=True)):
        known, given = dataset_of(name, options), json.loads(options)
        if known.generated:
            found.add(f"{GENERATED}{name} {given.get('seed')}")
        else:
            found |= set(known.photos(given).values()) or {name}
    return found
