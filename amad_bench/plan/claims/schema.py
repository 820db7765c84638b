"""Keys and values that a claims file may have. Closed, as a config's: an unknown key is a mistake."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal, Self, cast

from pydantic import AfterValidator, Field, model_validator

from amad_bench.plan.claims.looks import ONCE, Looks
from amad_bench.plan.config.base import Closed, Label, Name, Problems, distinct
from amad_bench.plan.config.grid import Budget
from amad_bench.plan.config.numbers import Few
from amad_bench.plan.config.schema import TaskName
from amad_bench.plan.config.training import Condition, FamilyName
from amad_bench.plan.shown import shown

MOST_CONTRASTS = 4  # of a claim
BLOCK_AXES = ("family", "task", "dataset", "teacher_heads", "student_heads", "student")
PAIR_AXES = ("teacher_pretraining", "pretraining")
AXES = (*BLOCK_AXES, *PAIR_AXES, "budget", "loss")
_ROUNDING = 1e-9  # of weights, relative to the largest

Over = Literal["blocks", "setting"]
Direction = Literal["better", "worse"]
Weight = Annotated[float, Field(ge=-1000, le=1000)]
Answerers = Annotated[list[str], Field(min_length=1), AfterValidator(distinct)]


class Selector(Closed):
    """Runs, by their axes; an axis that is left out is not asked for."""

    family: FamilyName | None = Field(default=None, description="of the models")
    task: TaskName | None = Field(default=None, description="of the block")
    dataset: str | None = Field(default=None, description="of the block")
    teacher_heads: Few | None = Field(default=None, description="heads of the block's teachers")
    student_heads: Few | None = Field(default=None, description="heads of the block's students")
    student: str | None = Field(
        default=None, description="name of the students' size, where there are several"
    )
    teacher_pretraining: Condition | None = Field(default=None, description="condition of the teachers")
    pretraining: Condition | None = Field(default=None, description="condition of the students")
    budget: Budget | None = Field(
        default=None, description="equal training `steps`, or as many as equal `flops` allow; left out: steps"
    )

    @property
    def asked(self) -> dict[str, str | int]:
        """The axes that are not left out."""
        return {key: value for key in AXES if (value := getattr(self, key, None)) is not None}


class Where(Selector):
    """Account of what all arms of a contrast have in common."""

    heads: Literal["unequal", "equal"] | None = Field(
        default=None, description="blocks whose teachers and students differ in their number of heads, or not"
    )


class Arm(Selector):
    """One side of a contrast: the runs of a loss, with their weight."""

    weight: Weight = Field(description="the contrast is the weighted sum of its arms; all weights sum to 0")
    loss: Label = Field(description="label of an entry of the config's `losses`")


def _arms(arms: list[Arm]) -> list[Arm]:
    if lines := list(_wrong_arms(arms)):
        raise Problems(lines)
    return arms


def _wrong_arms(arms: Sequence[Arm]) -> Iterator[str]:
    if len(arms) < 2:
        yield ": expected two or more arms"
        return
    for index, arm in enumerate(arms):
        if arm.weight == 0:
            yield f"[{index}].weight: 0 leaves the arm out; give it a weight or remove it"
        if arm.asked in (before.asked for before in arms[:index]):
            yield f"[{index}]: the same runs as an arm before it; add their weights"
    total = sum(arm.weight for arm in arms)
    if abs(total) > _ROUNDING * max(abs(arm.weight) for arm in arms):
        yield f": the weights sum to {total:g}, expected 0 (whole numbers do: 2, -1, -1)"
    named = {axis for arm in arms for axis in arm.asked}
    for index, arm in enumerate(arms):
        for axis in sorted(named - set(arm.asked)):
            if axis != "budget":
                yield f"[{index}].{axis}: missing; another arm names it, so each must"


Arms = Annotated[list[Arm], AfterValidator(_arms)]


class Contrast(Closed):
    """A difference: a weighted sum of the scores of its arms."""

    over: Over = Field(
        description="blocks: over all blocks that fit, each a value of its own; setting: in a single one, "
        "over seeds and test examples"
    )
    where: Where = Field(default=Where(), description="what all arms have in common")
    arms: Arms = Field(description="what is weighed against each other")
    direction: Direction = Field(
        default="better", description="what is claimed of the weighted sum: better or worse than 0"
    )

    @model_validator(mode="after")
    def _axes_fit(self) -> Self:
        if lines := list(_wrong_axes(self.over, self.where, self.arms)):
            raise Problems(lines)
        return self


class Share(Closed):
    """A share of a gap: `gain` over `gap`, each a weighted sum of its arms."""

    over: Over = Field(description="as of a contrast")
    where: Where = Field(default=Where(), description="what all arms have in common")
    gain: Arms = Field(description="arms of what is gained")
    gap: Arms = Field(description="arms of the whole gap, which must be above 0 itself")
    more_than: Annotated[float, Field(ge=-10, le=10)] = Field(
        default=0.0, description="the share that is exceeded, by what is claimed"
    )

    @model_validator(mode="after")
    def _axes_fit(self) -> Self:
        lines = [
            *_wrong_axes(self.over, self.where, self.gain, "gain"),
            *_wrong_axes(self.over, self.where, self.gap, "gap"),
        ]
        if lines:
            raise Problems(lines)
        return self


class Slope(Closed):
    """A contrast that grows with the head gap, teacher heads over student heads, at each doubling of it."""

    where: Where = Field(default=Where(), description="what all arms have in common")
    arms: Arms = Field(description="what is weighed against each other in each block")
    direction: Direction = Field(
        default="better", description="what becomes of the weighted sum as the gap grows: better or worse"
    )

    @model_validator(mode="after")
    def _axes_fit(self) -> Self:
        if lines := list(_wrong_axes("blocks", self.where, self.arms)):
            raise Problems(lines)
        return self


class Order(Closed):
    """The same order of losses at both budgets: what is separated at equal steps is so at equal FLOPs."""

    over: Over = Field(description="as of a contrast, for each pair of losses")
    where: Where = Field(default=Where(), description="where the order is compared")
    losses: Annotated[list[Label], AfterValidator(distinct)] = Field(
        description="labels of entries of the config's `losses`"
    )

    @model_validator(mode="after")
    def _two_budgets_and_losses(self) -> Self:
        lines: list[str] = []
        if self.where.budget is not None:
            lines.append(".where.budget: an order compares both budgets; remove it")
        if len(self.losses) < 2:
            lines.append(f".losses: expected two or more labels, found {shown(self.losses)}")
        if lines:
            raise Problems(lines)
        return self


def _wrong_axes(over: Over, where: Where, arms: Sequence[Arm], key: str = "arms") -> Iterator[str]:
    """Axes that are named twice, or that would mix blocks."""
    for index, arm in enumerate(arms):
        for axis in arm.asked:
            if axis in where.asked:
                yield f".{key}[{index}].{axis}: `where` names it, too; keep one"
            elif over == "blocks" and axis in BLOCK_AXES:
                yield (
                    f".{key}[{index}].{axis}: over blocks, each block is a value of its own; name it in "
                    "`where`, or choose over: setting"
                )


KINDS = ("contrasts", "shares", "slope", "order")


class Claim(Closed):
    """A sentence, and what must come out for it: exactly one of contrasts, shares, slope and order."""

    id: Name = Field(description="short name, in tables")
    text: Annotated[str, Field(min_length=1)] = Field(description="what is claimed, in one sentence")
    answered_by: Answerers = Field(description="configs that have the runs for it")
    contrasts: Annotated[list[Contrast], Field(min_length=1)] | None = Field(
        default=None, description=f"at most {MOST_CONTRASTS}; the claim is that all hold"
    )
    shares: Annotated[list[Share], Field(min_length=1)] | None = Field(
        default=None,
        description=f"of gaps, two contrasts each, at most {MOST_CONTRASTS // 2}; the claim is that all hold",
    )
    slope: Slope | None = Field(default=None, description="a contrast that grows with the head gap")
    order: Order | None = Field(default=None, description="the order of losses at equal FLOPs")

    @property
    def kind(self) -> str:
        """The one of KINDS that it is."""
        return next(key for key in KINDS if getattr(self, key) is not None)

    @model_validator(mode="after")
    def _one_kind_and_few(self) -> Self:
        given = [key for key in KINDS if getattr(self, key) is not None]
        lines: list[str] = []
        if len(given) != 1:
            found = " and ".join(given) or "none"
            lines.append(f": expected exactly one of {', '.join(KINDS)}, found {found}")
        for key, each in (("contrasts", 1), ("shares", 2)):
            parts = cast("list[Closed] | None", getattr(self, key))
            if (count := len(parts or []) * each) > MOST_CONTRASTS:
                lines.append(
                    f".{key}: {count} contrasts, expected at most {MOST_CONTRASTS} a claim; split it"
                )
        if lines:
            raise Problems(lines)
        return self


def _different(claims: list[Claim]) -> list[Claim]:
    ids = [claim.id for claim in claims]
    lines = [
        f"[{index}].id: {shown(name)} stands in [{ids.index(name)}], too; rename one"
        for index, name in enumerate(ids)
        if name in ids[:index]
    ]
    if lines:
        raise Problems(lines)
    return claims


class ClaimsFile(Closed):
    """A whole claims file, checked; see configs/claims.yaml."""

    looks: Looks = Field(
        default=ONCE,
        description="`once`, when all planned runs have ended, or the numbers of seeds of planned looks",
    )
    claims: Annotated[list[Claim], Field(min_length=1), AfterValidator(_different)] = Field(
        description="what is claimed"
    )
