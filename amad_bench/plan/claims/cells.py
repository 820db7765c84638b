"""Runs that a claim speaks about: selected by their axes, block by block."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from amad_bench.plan.claims.schema import AXES, BLOCK_AXES, Arm, Budget, Over, Where

Value = str | int | None
_Key = tuple[Hashable, ...]
STEPS: Budget = "steps"
FLOPS: Budget = "flops"


@dataclass(frozen=True)
class Runs:
    """The planned runs of one loss in one setting.

    axes: the value of each of AXES. block: what tells its block from all others. run_ids: by replicate.
    shared: what would make two blocks one that both have it: a teacher, a data order, generated images.
    """

    axes: Mapping[str, Value]
    block: Hashable
    run_ids: Mapping[int, str]
    shared: frozenset[Hashable] = field(default_factory=frozenset[Hashable])

    @property
    def gap(self) -> float:
        """Teacher heads over student heads."""
        return float(self.axes["teacher_heads"] or 0) / float(self.axes["student_heads"] or 1)

    def fits(self, asked: Mapping[str, Value], heads: str | None) -> bool:
        """Whether these are runs with such axes, and with (un)equal heads where that is asked for."""
        equal = self.axes["teacher_heads"] == self.axes["student_heads"]
        return (heads is None or equal == (heads == "equal")) and all(
            self.axes[axis] == value for axis, value in asked.items()
        )


@dataclass(frozen=True)
class Unit:
    """A contrast in one block, or in one setting: runs with their weights."""

    block: Hashable
    arms: tuple[tuple[float, Runs], ...]

    @property
    def replicates(self) -> set[int]:
        """Those that all of its arms have been planned with."""
        return set[int].intersection(*(set(runs.run_ids) for _, runs in self.arms))

    @property
    def shared(self) -> frozenset[Hashable]:
        return frozenset[Hashable]().union(*(runs.shared for _, runs in self.arms))


def asked_of(arm: Arm, where: Where) -> dict[str, Value]:
    """The axes that the runs of an arm must have; the budget is equal steps unless another is named."""
    return {"budget": STEPS, **where.asked, **arm.asked}


def units(arms: Sequence[Arm], where: Where, over: Over, runs: Sequence[Runs]) -> list[Unit]:
    """The contrast wherever all of its arms have runs: over blocks one for each, else one for each setting.

    Axes that nothing names are the same for all arms. Pre-training pairs that fit in one block are averaged.
    """
    named = {axis for arm in arms for axis in arm.asked}
    free = [axis for axis in AXES if axis not in (*named, "loss", "budget")]
    mixed = not named.isdisjoint(BLOCK_AXES)  # then the arms' blocks are others

    def key(found: Runs) -> _Key:
        return (None if mixed else found.block, *(found.axes[axis] for axis in free))

    by_arm: list[dict[_Key, Runs]] = []
    for arm in arms:
        asked = asked_of(arm, where)
        by_arm.append({key(found): found for found in runs if found.fits(asked, where.heads)})
    common = [key for key in by_arm[0] if all(key in of_arm for of_arm in by_arm)]
    if over == "setting":
        return [_unit(arms, by_arm, [found]) for found in common]
    blocks = dict.fromkeys(found[0] for found in common)
    return [_unit(arms, by_arm, [found for found in common if found[0] == block]) for block in blocks]


def _unit(
    arms: Sequence[Arm],
    by_arm: Sequence[Mapping[_Key, Runs]],
    keys: Sequence[_Key],
) -> Unit:
    weighted = [
        (arm.weight / len(keys), of_arm[key])
        for key in keys
        for arm, of_arm in zip(arms, by_arm, strict=True)
    ]
    return Unit(keys[0][0], tuple(weighted))


def independent(found: Sequence[Unit]) -> list[list[Unit]]:
    """The units in groups that share nothing with each other: each group counts as one block."""
    groups: list[tuple[frozenset[Hashable], list[Unit]]] = []
    for unit in found:
        touched = [group for group in groups if not group[0].isdisjoint(unit.shared)]
        groups = [group for group in groups if group not in touched]
        shared = unit.shared.union(*(group[0] for group in touched))
        groups.append((shared, [*(one for group in touched for one in group[1]), unit]))
    return [group for _, group in groups]
