"""The record of a loss: its options, what it reads of a trace, and which pairs of shapes it can handle."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from amad_bench.plan.catalogue.families import ModelShape
from amad_bench.plan.catalogue.loss_costs import Products, nothing_more
from amad_bench.plan.catalogue.options import OptionSpec, WithOptions
from amad_bench.plan.catalogue.supports import Clash, Supports, always, never

QUERY_ROWS_VERSION = 1  # of how rows are drawn, losses.query_rows


@dataclass(frozen=True)
class Loss(WithOptions):
    """A way to distil.

    compares: what, as a phrase with its formula, for reports (docs/methods.md has it in full). t_h, s_g: maps
    of teacher head h and student head g; a_hg: the alignment; D: `distance`.
    implementation: its class in amad_bench/losses/<name>.py. base: what is trained beside it: "none" (it is
    the cross-entropy itself), "ce" (cross-entropy) or "logit_kd" (cross-entropy and logit distillation).
    reads: parts of a trace: "logits"; of the configured sites "probs" (attention maps), "scores", "queries",
    "keys", "values", "output_weight" (of the teacher); of their stacks "hidden" (layer outputs).
    labelled_by: the option whose value is in the label (amad_kl). clash_of: why options that are fine one by
    one cannot go together. seeded: draws something once, from the run's `init` seed, which `build_loss` takes
    as `seed`. every_layer: of the sites, whatever `layer_map` says. products: operations beside the scores of
    maps that it reads, see `catalogue.loss_costs`. elsewhere: options that it does not have, since
    they ask for another loss -> which one.
    """

    name: str
    implementation: str
    base: str
    reads: tuple[str, ...]
    options: Mapping[str, OptionSpec] = field(default_factory=dict[str, OptionSpec])
    labelled_by: str | None = None
    supports_shapes: Supports = always
    clash_of: Clash = never
    seeded: bool = False
    every_layer: bool = False
    compares: str = ""
    products: Products = nothing_more
    elsewhere: Mapping[str, str] = field(default_factory=dict[str, str])
    version: int = 1

    @property
    def labelling_values(self) -> tuple[str, ...]:
        return self.options[self.labelled_by].choices if self.labelled_by else ()

    @property
    def attention(self) -> bool:
        """True where it reads layers of the configured sites, so that sites and a layer map matter."""
        return bool(set(self.reads) - {"logits"})

    @property
    def scored(self) -> bool:
        """True where it takes scores of attention, or the maps that are made of them."""
        return bool({"probs", "scores"} & set(self.reads))

    @property
    def weighted_parts(self) -> tuple[str, ...]:
        """The keys of `loss_weights` that this loss uses."""
        return {
            "none": ("ce",),
            "ce": ("ce", "logit_kd"),
            "logit_kd": ("ce", "logit_kd", "attention"),
        }[self.base]

    @property
    def uses(self) -> tuple[str, ...]:
        """Names of all losses that a student of this one is trained with, itself included."""
        return {"none": (), "ce": ("ce",), "logit_kd": ("ce", "logit_kd")}[self.base] + (self.name,)

    def clash(self, options: Mapping[str, Any]) -> str:
        """Reason why these options cannot go together, in one sentence; "" when they can."""
        return self.clash_of(self.complete(options))

    @property
    def labels(self) -> tuple[str, ...]:
        """Its name and every label that it can have without a `label:`."""
        return (self.name, *(self.label({str(self.labelled_by): value}) for value in self.labelling_values))

    def label(self, options: Mapping[str, Any]) -> str:
        complete = self.complete(options)
        label = f"{self.name}_{complete[self.labelled_by]}" if self.labelled_by else self.name
        return f"{label}-rows{rows}" if (rows := complete.get("query_rows")) else label

    def versions(self, options: Mapping[str, Any]) -> dict[str, int]:
        """Versions of what these options bring in, by name."""
        return {"query_rows": QUERY_ROWS_VERSION} if options.get("query_rows") else {}

    def supports(
        self, teacher: ModelShape, student: ModelShape, options: Mapping[str, Any] | None = None
    ) -> tuple[bool, str]:
        """(True, "") or (False, the reason in one sentence)."""
        return self.supports_shapes(teacher, student, self.complete(options or {}))
