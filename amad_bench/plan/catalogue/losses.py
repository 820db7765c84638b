"""Losses: their options, what they read of a trace, and which pairs of shapes they can handle."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from amad_bench.plan.catalogue.families import ModelShape
from amad_bench.plan.catalogue.options import OptionSpec, by_name

Supports = Callable[[ModelShape, ModelShape, Mapping[str, Any]], tuple[bool, str]]


def _always(teacher: ModelShape, student: ModelShape, options: Mapping[str, Any]) -> tuple[bool, str]:
    return True, ""


def _equal_heads_unless_dropped(
    teacher: ModelShape, student: ModelShape, options: Mapping[str, Any]
) -> tuple[bool, str]:
    if options["drop"] == "extra":
        return True, ""
    for site, heads in teacher.heads.items():
        if heads != student.heads[site]:
            return False, (
                f"one_to_one compares head h with head h, but at {site} the teacher has {heads} heads and "
                f"the student {student.heads[site]}; set `drop: extra` to leave the surplus heads out"
            )
    return True, ""


@dataclass(frozen=True)
class Loss:
    """A way to distil.

    base: what is trained beside it. "none": nothing, it is the cross-entropy itself; "ce": cross-entropy;
    "logit_kd": cross-entropy and logit distillation. needs: the parts of a trace that it reads ("probs":
    attention maps at the configured sites). labelled_by: the option whose value is in the label (amad_kl).
    """

    name: str
    base: str
    needs: tuple[str, ...]
    options: Mapping[str, OptionSpec] = field(default_factory=dict)
    labelled_by: str | None = None
    supports_shapes: Supports = _always
    version: int = 1

    @property
    def variants(self) -> tuple[str, ...]:
        return self.options[self.labelled_by].choices if self.labelled_by else ()

    @property
    def attention(self) -> bool:
        """Whether it compares attention, so that sites and a layer map matter."""
        return "probs" in self.needs

    @property
    def weighted_parts(self) -> tuple[str, ...]:
        """The keys of `weights` that this loss uses."""
        return {
            "none": ("ce",),
            "ce": ("ce", "logit_kd"),
            "logit_kd": ("ce", "logit_kd", "attention"),
        }[self.base]

    @property
    def uses(self) -> tuple[str, ...]:
        """Names of all losses that a student of this one is trained with, itself included."""
        return {"none": (), "ce": ("ce",), "logit_kd": ("ce", "logit_kd")}[self.base] + (self.name,)

    def complete(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The given options with every default filled in, in the catalogue's order."""
        return {key: options.get(key, spec.default) for key, spec in self.options.items()}

    @property
    def labels(self) -> tuple[str, ...]:
        """Its name and every label that it can have without a `label:`."""
        return (self.name, *(self.label({str(self.labelled_by): variant}) for variant in self.variants))

    def label(self, options: Mapping[str, Any]) -> str:
        return f"{self.name}_{self.complete(options)[self.labelled_by]}" if self.labelled_by else self.name

    def supports(
        self, teacher: ModelShape, student: ModelShape, options: Mapping[str, Any] | None = None
    ) -> tuple[bool, str]:
        """(True, "") or (False, the reason in one sentence)."""
        return self.supports_shapes(teacher, student, self.complete(options or {}))


_HEAD_REDUCTION = OptionSpec(str, "sum", ("sum", "mean"))
_MAP_DISTANCE = OptionSpec(str, "kl", ("kl", "mse"))

LOSSES: dict[str, Loss] = by_name(
    Loss("ce", "none", ()),
    Loss("logit_kd", "ce", ("logits",), {"temperature": OptionSpec(float, 2.0, above=0.0)}),
    Loss(
        "one_to_one",
        "logit_kd",
        ("probs",),
        {
            "drop": OptionSpec(str, "refuse", ("refuse", "extra")),
            "distance": _MAP_DISTANCE,
            "head_reduction": _HEAD_REDUCTION,
        },
        supports_shapes=_equal_heads_unless_dropped,
    ),
    Loss(
        "student_mean", "logit_kd", ("probs",), {"variant": _MAP_DISTANCE, "head_reduction": _HEAD_REDUCTION}
    ),
    Loss(
        "amad",
        "logit_kd",
        ("probs",),
        {
            "variant": _MAP_DISTANCE,
            "similarity": OptionSpec(str, "cosine", ("cosine", "l1")),
            "temperature": OptionSpec(float, 1.0, above=0.0),
            "detach_alignment": OptionSpec(bool, False),
            "head_reduction": _HEAD_REDUCTION,
            "row_reduction": OptionSpec(str, "mean", ("mean", "sum")),
        },
        labelled_by="variant",
    ),
)
