"""Parts of the grid: a config may ask for less than every combination of its axes."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from amad_bench.plan.catalogue import TASKS
from amad_bench.plan.config.base import Closed, Problems, distinct, known
from amad_bench.plan.config.numbers import Few
from amad_bench.plan.config.training import Conditions, FamilyName

Budget = Literal["steps", "flops"]
TaskName = Annotated[str, known("task", TASKS)]


def _with_steps(budgets: list[Budget]) -> list[Budget]:
    if "steps" not in budgets:
        raise Problems([": steps is always one of them, flops is reckoned from it; write [steps, flops]"])
    return budgets


def _pair(value: Any) -> Any:
    match value:
        case [int(), int()]:
            return value
        case _:
            raise ValueError("[teacher's heads, student's heads]")


Budgets = Annotated[list[Budget], AfterValidator(distinct), AfterValidator(_with_steps)]
HeadPair = Annotated[list[Few], BeforeValidator(_pair)]


OneOrMore = (Field(min_length=1), AfterValidator(distinct))
Families = Annotated[list[FamilyName], *OneOrMore]
Tasks = Annotated[list[TaskName], *OneOrMore]
HeadPairs = Annotated[list[HeadPair], *OneOrMore]
Labels = Annotated[list[str], *OneOrMore]
SomeBudgets = Annotated[list[Budget], *OneOrMore]


class GridPart(Closed):
    """A part of the grid: all combinations of these values. A key that is left out has all values."""

    families: Families | None = Field(default=None, description="of models")
    tasks: Tasks | None = Field(default=None, description="of the entries of `tasks`")
    heads: HeadPairs | None = Field(default=None, description="[teacher's, student's] numbers of heads")
    teacher_pretraining: Conditions | None = Field(default=None, description="the teachers' conditions")
    student_pretraining: Conditions | None = Field(default=None, description="the students' conditions")
    losses: Labels | None = Field(default=None, description="their labels")
    budgets: SomeBudgets | None = Field(default=None, description="of the config's")

    def has(self, **axes: Any) -> bool:
        """Whether it holds a combination with these values of some axes."""
        given = {name: getattr(self, name) for name in axes}
        return all(values is None or axes[name] in values for name, values in given.items())
