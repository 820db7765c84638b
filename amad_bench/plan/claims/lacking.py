"""Lack of runs to answer a claim: losses, heads, pre-training, budget, blocks, seeds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from amad_bench.plan.catalogue import LOSSES
from amad_bench.plan.claims.cells import FLOPS, STEPS, Runs, Unit, Value, asked_of, independent, units
from amad_bench.plan.claims.looks import joined
from amad_bench.plan.claims.schema import AXES, Arm, Budget, Claim, Order, Over, Where
from amad_bench.runtime.errors import did_you_mean

FEWEST_BLOCKS = 5  # of a statement about blocks
FEWEST_SEEDS = 2  # of a statement about a setting

LOSS_LABELS = {label for loss in LOSSES.values() for label in loss.labels}
_CALLED = {
    "teacher_heads": "teacher heads",
    "student_heads": "student heads",
    "student": "student size",
    "dataset": "data set",
    "teacher_pretraining": "teachers with pre-training",
    "pretraining": "students with pre-training",
}


@dataclass(frozen=True)
class Asked:
    """A contrast of a claim, whatever its kind. own_teachers: its blocks may share nothing."""

    arms: Sequence[Arm]
    where: Where
    over: Over
    own_teachers: bool = False

    def units(self, runs: Sequence[Runs]) -> list[Unit]:
        """Account of where it can be computed; see `cells.units`."""
        return units(self.arms, self.where, self.over, runs)


def asked_by(claim: Claim) -> list[Asked]:
    """The contrasts of a claim; of an order those of each pair of losses at both budgets."""
    found = [Asked(contrast.arms, contrast.where, contrast.over) for contrast in claim.contrasts or []]
    for share in claim.shares or []:
        found += [Asked(arms, share.where, share.over) for arms in (share.gain, share.gap)]
    if claim.slope is not None:
        found.append(Asked(claim.slope.arms, claim.slope.where, "blocks", own_teachers=True))
    if claim.order is not None:
        found += [each for pair in pairs_of(claim.order) for each in pair]
    return found


def pairs_of(order: Order) -> list[tuple[Asked, Asked]]:
    """The contrasts of each pair of losses: at equal steps, at equal FLOPs."""
    return [
        (_pair(order, first, second, STEPS), _pair(order, first, second, FLOPS))
        for first, second in combinations(order.losses, 2)
    ]


def _pair(order: Order, first: str, second: str, budget: Budget) -> Asked:
    arms = [Arm(weight=1.0, loss=first, budget=budget), Arm(weight=-1.0, loss=second, budget=budget)]
    return Asked(arms, order.where, order.over)


def lacking(claim: Claim, runs: Sequence[Runs]) -> list[str]:
    """Account of what is missing, a phrase each; empty where the runs can answer the claim."""
    found = [phrase for asked in asked_by(claim) for phrase in _of_contrast(asked, runs)]
    return list(dict.fromkeys(found))


def _of_contrast(asked: Asked, runs: Sequence[Runs]) -> Iterator[str]:
    absent = [
        phrase
        for arm in asked.arms
        for phrase in _absent(asked_of(arm, asked.where), asked.where.heads, runs)
    ]
    if absent:
        yield from absent
        return
    found = asked.units(runs)
    if not found:
        losses = joined(list(dict.fromkeys(arm.loss for arm in asked.arms)))
        yield f"a {'block' if asked.over == 'blocks' else 'setting'} with all of its arms ({losses})"
    elif asked.over == "setting":
        yield from _of_setting(found)
    else:
        yield from _of_blocks(asked, found)


def _of_setting(found: Sequence[Unit]) -> Iterator[str]:
    if len(found) > 1:
        values = {axis: {unit.arms[0][1].axes[axis] for unit in found} for axis in AXES}
        open_axes = [axis for axis, several in values.items() if len(several) > 1]
        yield f"a single setting: {len(found)} fit, name {joined(open_axes)} in `where`"
    elif (seeds := len(found[0].replicates)) < FEWEST_SEEDS:
        yield f"{FEWEST_SEEDS} seeds (there {_are(seeds)})"


def _of_blocks(asked: Asked, found: Sequence[Unit]) -> Iterator[str]:
    groups = independent(found)
    if asked.own_teachers:
        gaps = {unit.arms[0][1].gap for unit in found}
        if len(groups) < len(found):
            yield "blocks that share no teacher, data order or images (teacher_per: block, scenes_per: block)"
        if len(gaps) < 2:
            yield f"two or more head gaps (there {_are(len(gaps))})"
    if len(groups) < FEWEST_BLOCKS:
        yield f"{FEWEST_BLOCKS} independent blocks (there {_are(len(groups))})"


def _absent(asked: Mapping[str, Value], heads: str | None, runs: Sequence[Runs]) -> list[str]:
    """Values that no run has; or, where each occurs, the combination that none has."""
    if any(found.fits(asked, heads) for found in runs):
        return []
    found = [_unknown(axis, value, runs) for axis, value in asked.items() if not _occurs(axis, value, runs)]
    if heads and not any(found.fits({}, heads) for found in runs):
        found.append(f"{heads} numbers of heads of teacher and student")
    if found:
        return found
    words = [f"{_CALLED.get(axis, axis)} {value}" for axis, value in asked.items() if axis != "budget"]
    return [f"runs with {joined(words)} at once"]


def _occurs(axis: str, value: Value, runs: Sequence[Runs]) -> bool:
    return any(found.axes[axis] == value for found in runs)


def _unknown(axis: str, value: Value, runs: Sequence[Runs]) -> str:
    """A value that no run has, with the one that may have been meant."""
    hint = ""
    if isinstance(value, str) and value not in LOSS_LABELS:
        known = dict.fromkeys(str(found.axes[axis]) for found in runs)
        hint = did_you_mean(value, known).strip().replace("Did", "did")
    return f"{_CALLED.get(axis, axis)} {value}{f' ({hint})' if hint else ''}"


def _are(count: int) -> str:
    return f"is {count or 'none'}" if count < 2 else f"are {count}"
