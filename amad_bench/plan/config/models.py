"""The models that a config asks for: their inputs, sizes and numbers of heads."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.config.base import Closed, Label, Open, PathBelow, distinct
from amad_bench.plan.config.inputs import Inputs
from amad_bench.plan.config.numbers import Few, Size
from amad_bench.plan.config.training import Reached

HeadCounts = Annotated[list[Few], Field(min_length=1), AfterValidator(distinct)]


class ModelSize(Closed):
    """A model but for its number of heads."""

    layers: Few = Field(description="of each stack")
    width: Size = Field(description="of the hidden states, in numbers")
    feed_forward: Size = Field(description="inner width of the feed-forward layers, in numbers")
    dropout: Annotated[float, Field(ge=0, lt=1)] = Field(description="share of activations dropped")
    head_size: Size | None = Field(
        default=None, description="numbers per head; needed by, and only for, `heads.keep: head_size`"
    )
    heads: HeadCounts | None = Field(
        default=None, description="numbers of heads of this size, instead of the config's `heads`"
    )
    checkpoints: dict[Reached, Annotated[list[PathBelow], Field(min_length=1)]] = Field(
        default={},
        description="by pre-training condition (text, vl), what the model starts from: paths below AMAD_DATA",
    )
    cut: Literal["none", "inherit", "remap"] = Field(
        default="none",
        description="how weights of another shape are cut to this one. none: they have this shape; inherit: "
        "the first channels, layers evenly, heads by `inherit_heads`; remap: the same channels in heads of "
        "another size. Without checkpoints of its own such a student is cut from its teacher's",
    )
    inherit_heads: Literal["first", "spread"] = Field(
        default="first", description="which heads `cut: inherit` takes: the first, or every H/G-th"
    )


class ModelEntry(Open):
    """A family's models, with its options, which the catalogue knows by its name."""

    inputs: Inputs = Field(description="what its models see of an image")
    teacher: ModelSize = Field(description="the teachers' size")
    student: ModelSize | None = Field(default=None, description="the students' size, where there is one")
    students: Annotated[dict[Label, ModelSize], Field(min_length=1)] | None = Field(
        default=None, description="the students' sizes by name, where there are several"
    )

    def options(self, family: str) -> dict[str, Any]:
        """All options of the family, defaults filled in."""
        return FAMILIES[family].complete(self.given)

    @property
    def student_sizes(self) -> dict[str, ModelSize]:
        """The students' sizes by name; that of the only one is empty."""
        return self.students or ({"": self.student} if self.student is not None else {})

    @property
    def sizes(self) -> list[tuple[str, str, ModelSize]]:
        """(role, key below the family, size) of all models."""
        students = [
            ("student", f"students.{name}" if name else "student", size)
            for name, size in self.student_sizes.items()
        ]
        return [("teacher", "teacher", self.teacher), *students]


class Heads(Closed):
    """The numbers of heads that are swept."""

    teacher: HeadCounts = Field(description="numbers of heads of the teachers")
    student: HeadCounts = Field(description="numbers of heads of the students")
    keep: Literal["inner_width", "head_size"] = Field(
        default="inner_width",
        description="what stays when the number of heads changes: heads x head size (then the width), or the "
        "size of a head (VL-T5 only; each size then says its `head_size`)",
    )

    def of(self, role: str, size: ModelSize) -> list[int]:
        """The numbers of heads of a size: its own, or the config's."""
        return size.heads or (self.teacher if role == "teacher" else self.student)
