"""Blocks that share something random count as one; what those that are kept apart share is added.

Axis: K units, each a block or several that are averaged.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from amad_bench.analysis.blocks.sharing import counted_as
from amad_bench.analysis.estimates import CLUSTERS, Estimate, Part

LARGEST_SHARE = 0.1  # of their variance, that images make in blocks that share them and are kept apart


@dataclass(frozen=True)
class Units:
    """The units of several blocks.

    members: by unit the places of its blocks. share_of_images: of the blocks' summed variances, NaN where
    none varies. common: what images that several units share add to the variance of their mean, or None.
    notes: what was averaged, and what is shared.
    """

    members: tuple[tuple[int, ...], ...]
    share_of_images: float
    common: Part | None
    notes: tuple[str, ...]


def units_of(
    drawn: Sequence[frozenset[str]], photos: Sequence[frozenset[str]], estimates: Sequence[Estimate]
) -> Units:
    """The units of blocks, by what they are drawn from and whose photos they see (`sharing`).

    estimates: of the blocks, in one unit of measurement. Blocks that share a teacher, the order of data or
    generated images are one; so are those that share photos where clusters make a tenth of the variance or
    more.
    """
    share = share_of_images(estimates)
    first, notes = counted_as(drawn), list[str]()
    if len(set(first)) < len(drawn):
        notes.append("blocks that share a teacher, the data order or generated images are averaged")
    common = None
    if share < LARGEST_SHARE:
        members = _members(first)
        common = _common(members, counted_as(photos), estimates)
        if common is not None:
            notes.append(f"some blocks share images, {share:.1%} of their variance: it is added")
    else:  # or not known
        joined = counted_as([own | images for own, images in zip(drawn, photos, strict=True)])
        if joined != first:
            known = "an unknown part" if math.isnan(share) else f"{share:.0%}"
            notes.append(f"blocks that share images, {known} of their variance, are averaged")
        members = _members(joined)
    return Units(members, share, common, tuple(notes))


def share_of_images(estimates: Sequence[Estimate]) -> float:
    """Share of the blocks' summed variances that clusters of examples make.

    Of a block with one seed it is all, the most that it can be: nothing tells it from the rest there.
    """
    total = sum(found.variance for found in estimates)
    of_images = sum(part.variance for part in map(_of_images, estimates) if part)
    return of_images / total if total > 0 else math.nan


def _of_images(estimate: Estimate) -> Part | None:
    return next((part for part in estimate.parts if part.source == CLUSTERS), None)


def _members(first: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    return tuple(
        tuple(place for place, own in enumerate(first) if own == unit) for unit in dict.fromkeys(first)
    )


def _common(
    members: Sequence[Sequence[int]], images: Sequence[int], estimates: Sequence[Estimate]
) -> Part | None:
    """The mean covariance of two units, at most: each image does the same to all that see it.

    The variance over units does not hold it, for what they share moves them together. images: by block the
    place of the first that sees the same ones.
    """
    parts = [_of_images(estimate) for estimate in estimates]
    sds = [math.sqrt(part.variance) if part else 0.0 for part in parts]
    sums = [(fmean(sds[place] for place in own), {images[place] for place in own}) for own in members]
    pairs = [(one, other) for one in range(len(sums)) for other in range(one)]
    shared = [sums[one][0] * sums[other][0] for one, other in pairs if sums[one][1] & sums[other][1]]
    df = [part.df for part in parts if part]
    return Part(CLUSTERS, sum(shared) / len(pairs), min(df)) if shared and df else None
