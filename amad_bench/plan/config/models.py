"""The models that a config asks for: their inputs, sizes and numbers of heads."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.config.base import Closed, Label, Open, PathBelow, Problems, distinct
from amad_bench.plan.config.inputs import Inputs
from amad_bench.plan.config.numbers import Few, Size
from amad_bench.plan.config.training import Reached

_WITH_SIDES = " and ".join(family.label for family in FAMILIES.values() if family.sides)
_WITH_HEAD_SIZE = " and ".join(family.label for family in FAMILIES.values() if "head_size" in family.keeps)
HeadCounts = Annotated[list[Few], Field(min_length=1), AfterValidator(distinct)]


class SideSize(Closed):
    """A side of a model that has sizes of its own."""

    layers: Few = Field(description="of each stack")
    width: Size = Field(description="of the hidden states, in numbers")
    feed_forward: Size = Field(description="inner width of the feed-forward layers, in numbers")
    heads: HeadCounts | None = Field(
        default=None,
        description="of the side that `sites` compares, the numbers that are swept, instead of the config's "
        "`heads`; of the other side the only one, which must be given",
    )


class ModelSize(Closed):
    """A model but for its number of heads: `layers`, `width` and `feed_forward`, or those of each side."""

    layers: Few | None = Field(default=None, description="of each stack; needed unless sides are named")
    width: Size | None = Field(
        default=None, description="of the hidden states, in numbers; needed unless sides are named"
    )
    feed_forward: Size | None = Field(
        default=None,
        description="inner width of the feed-forward layers, in numbers; needed unless sides are named",
    )
    vision: SideSize | None = Field(
        default=None, description=f"{_WITH_SIDES} only: sizes of the side that sees"
    )
    text: SideSize | None = Field(
        default=None, description=f"{_WITH_SIDES} only: sizes of the side that reads and writes"
    )
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

    @property
    def named_sides(self) -> dict[str, SideSize]:
        """The sides that have sizes of their own, by name."""
        sides = {"vision": self.vision, "text": self.text}
        return {name: side for name, side in sides.items() if side is not None}

    @property
    def sides(self) -> dict[str, SideSize]:
        """The named sides, or the whole model under the name ""."""
        if self.named_sides:
            return self.named_sides
        return {"": SideSize.model_construct(**{key: getattr(self, key) for key in SideSize.model_fields})}

    @model_validator(mode="after")
    def _of_all_or_of_each_side(self) -> "ModelSize":
        named = " and ".join(self.named_sides)
        common = ("layers", "width", "feed_forward")
        if named:
            given = [key for key in (*common, "heads", "head_size") if getattr(self, key) is not None]
            lines = [f".{key}: {named} have their own; say it there, and remove it here" for key in given]
        else:
            lines = [f".{key}: missing; add this key" for key in common if getattr(self, key) is None]
        if lines:
            raise Problems(lines)
        return self


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
        f"size of a head ({_WITH_HEAD_SIZE} only; each size then says its `head_size`)",
    )

    def of(self, role: str) -> list[int]:
        """The numbers of heads of teachers or students whose size has none of its own."""
        return self.teacher if role == "teacher" else self.student
