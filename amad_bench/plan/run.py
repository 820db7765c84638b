"""A run: one training with everything fixed."""

from dataclasses import dataclass

from amad_bench.plan.run_config import RunConfig

SHARED = " | "  # between the names of what shares a run


@dataclass(frozen=True)
class Run:
    """A planned run.

    teacher_id: the teacher that a student, or its assistant, learns from; None for others. For tables, no
    part of the identity: student_name, of a student's size, where a family has several; budget, those of the
    config's `budgets` that a student is trained with, joined by SHARED where they are one run; "" for others.
    """

    id: str
    config: RunConfig
    teacher_id: str | None = None
    student_name: str = ""
    budget: str = ""

    @property
    def kind(self) -> str:
        return self.config.kind

    @property
    def prerequisites(self) -> list[str]:
        """The runs that must be finished before this one.

        The pre-training that it starts from, the teacher unless the loss does without (`ce`).
        """
        parts = (self.config.start, self.config.teacher)
        return [part.run_id for part in parts if part is not None and part.run_id is not None]

    @property
    def data_key(self) -> str:
        return self.config.data_key
