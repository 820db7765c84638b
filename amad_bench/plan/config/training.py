"""Training, pre-training and decoding of models."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from amad_bench.plan.catalogue import FAMILIES, PRETRAINING, SCHEDULES
from amad_bench.plan.config.base import Closed, Open, Problems, distinct, known
from amad_bench.plan.config.numbers import Count, Examples, Few, Length, NotNegative, Positive, Size

REACHED = PRETRAINING[1:]  # conditions that need weights: `none` is random weights


def _not_none(condition: str) -> str:
    if condition == "none":
        raise Problems([": `none` means random weights; remove it"])
    return condition


Condition = Annotated[str, known("pre-training", PRETRAINING)]
Conditions = Annotated[list[Condition], Field(min_length=1), AfterValidator(distinct)]
Reached = Annotated[str, AfterValidator(_not_none), known("pre-training", REACHED)]
FamilyName = Annotated[str, known("family", FAMILIES)]


class Training(Closed):
    """One training: AdamW, warm-up, decay, clipped gradients."""

    examples: Examples = Field(
        description="of the training split: `all`, or the first so many of a fixed order"
    )
    steps: Count = Field(description="updates")
    batch: Size = Field(description="examples per update")
    learning_rate: Positive = Field(description="after the warm-up")
    warmup: Annotated[float, Field(ge=0, lt=1)] = Field(
        description="share of the steps in which the learning rate rises from 0; then it falls to 0"
    )
    weight_decay: NotNegative = Field(description="of AdamW; not of biases and layer norms")
    clip: Positive = Field(description="largest norm of the gradient")
    evaluations: Size = Field(description="validations, evenly spread over the steps; the best one is kept")
    schedule: Annotated[str, known("schedule", SCHEDULES)] = Field(
        default="linear", description=f"how the learning rate falls: {', '.join(SCHEDULES)}"
    )


class PretrainingTraining(Training, Open):
    """One pre-training, on all examples, with options that the catalogue knows by family and condition."""

    examples: Literal["all"] = Field(  # pyright: ignore[reportIncompatibleVariableOverride] (narrower, and frozen)
        description="`all`: nothing else is possible"
    )


class Pretraining(Closed):
    """Knowledge of models before their task: none (random weights), text (unimodal), vl (with vision)."""

    teacher: Conditions = Field(default=["none"], description="the teachers' conditions: none, text, vl")
    student: Conditions = Field(default=["none"], description="the students' conditions: none, text, vl")
    training: dict[FamilyName, dict[Reached, PretrainingTraining]] = Field(
        default={},
        description="by family and condition, how it is trained here; for what no `checkpoints` give",
    )

    def of(self, role: str) -> list[str]:
        """The conditions of teachers or students."""
        return self.teacher if role == "teacher" else self.student


class Checkpointing(Closed):
    """Checkpoints, from which a training goes on after it was interrupted or killed."""

    every_s: Positive = Field(
        default=60.0,
        description="seconds from one checkpoint to the next; longer where writing one takes more than a "
        "fiftieth of that",
    )


class Decoding(Closed):
    """Way in which a model's answers are read off it."""

    max_length: Length = Field(description="tokens that are written at most")
    beams: Few = Field(description="of beam search; 1 is greedy")
    rank: Size | None = Field(
        default=None,
        description="where the family can: instead of writing it chooses among the training answers, the "
        "likeliest of the `rank` with the likeliest first token",
    )
