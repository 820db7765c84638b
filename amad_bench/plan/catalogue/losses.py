"""Losses: their options, what they read of a trace, and which pairs of shapes they can handle."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from amad_bench.plan.catalogue.families import ModelShape
from amad_bench.plan.catalogue.options import OptionSpec, WithOptions, by_name
from amad_bench.plan.catalogue.supports import (
    Clash,
    Supports,
    always,
    amad,
    minilm,
    never,
    no_fewer_teacher_heads,
    one_to_one,
    projectable,
    relation_heads_divide,
    rows_of_maps,
    tinybert,
)
from amad_bench.plan.limits import LARGEST_NUMBER, MOST_PARTS

QUERY_ROWS_VERSION = 1  # of how rows are drawn, losses.query_rows


@dataclass(frozen=True)
class Loss(WithOptions):
    """A way to distil.

    implementation: its class in amad_bench/losses/<name>.py. base: what is trained beside it: "none" (it is
    the cross-entropy itself), "ce" (cross-entropy) or "logit_kd" (cross-entropy and logit distillation).
    reads: parts of a trace: "logits"; of the configured sites "probs" (attention maps), "scores", "queries",
    "keys", "values", "output_weight" (of the teacher); of their stacks "hidden" (layer outputs).
    labelled_by: the option whose value is in the label (amad_kl). clash_of: why options that are fine one by
    one cannot go together. seeded: draws something once, from the run's `init` seed, which `build_loss` takes
    as `seed`. every_layer: of the sites, whatever `layer_map` says.
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
    version: int = 1

    @property
    def labelling_values(self) -> tuple[str, ...]:
        return self.options[self.labelled_by].choices if self.labelled_by else ()

    @property
    def attention(self) -> bool:
        """True where it reads layers of the configured sites, so that sites and a layer map matter."""
        return bool(set(self.reads) - {"logits"})

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
        """Of what these options bring in, by name."""
        return {"query_rows": QUERY_ROWS_VERSION} if options.get("query_rows") else {}

    def supports(
        self, teacher: ModelShape, student: ModelShape, options: Mapping[str, Any] | None = None
    ) -> tuple[bool, str]:
        """(True, "") or (False, the reason in one sentence)."""
        return self.supports_shapes(teacher, student, self.complete(options or {}))


_HEAD_REDUCTION = OptionSpec(
    str, "sum", ("sum", "mean"), description="over the heads that are compared; the papers print the sum"
)
_DISTANCE = OptionSpec(
    str,
    "kl",
    ("kl", "mse"),
    description="of two maps: KL of rows, in nats, or squared distance of maps of length 1, without unit",
)
_DETACH = OptionSpec(bool, False, description="whether no gradient passes through the alignment weights")
_KERNEL = OptionSpec(
    str,
    "auto",
    ("auto", "dense", "chunked"),
    description="how it is computed, which moves last digits: maps of all samples at once, of some at a time "
    "with gradients in the forward pass, or as a table of sizes says",
)
_KERNEL_OR_TRITON = replace(
    _KERNEL,
    choices=(*_KERNEL.choices, "triton"),
    description="how it is computed, which moves last digits: maps of all samples at once, of some at a "
    "time, by Triton (CUDA only), or as a table of sizes says",
)
_QUERY_ROWS = OptionSpec(
    int,
    0,
    minimum=0,
    maximum=MOST_PARTS,
    description="query rows of each sample that are drawn anew each time and looked at; 0: all. An estimate "
    "of the loss, for distances by rows",
)

LOSSES: dict[str, Loss] = by_name(
    Loss("ce", "CrossEntropy", "none", ()),
    Loss(
        "logit_kd",
        "LogitKD",
        "ce",
        ("logits",),
        {
            "temperature": OptionSpec(
                float,
                2.0,
                above=0.0,
                maximum=LARGEST_NUMBER,
                description="divides the logits of teacher and student, without unit; its square is a factor",
            )
        },
    ),
    Loss(
        "one_to_one",
        "OneToOne",
        "logit_kd",
        ("probs",),
        {
            "drop": OptionSpec(
                str,
                "refuse",
                ("refuse", "extra"),
                description="other head counts are refused, or the last heads of the larger model left out",
            ),
            "distance": _DISTANCE,
            "head_reduction": _HEAD_REDUCTION,
            "kernel": _KERNEL_OR_TRITON,
            "query_rows": _QUERY_ROWS,
        },
        supports_shapes=one_to_one,
        clash_of=rows_of_maps,
        seeded=True,
    ),
    Loss(
        "head_mean",
        "HeadMean",
        "logit_kd",
        ("probs",),
        {"distance": _DISTANCE, "kernel": _KERNEL_OR_TRITON, "query_rows": _QUERY_ROWS},
        clash_of=rows_of_maps,
        seeded=True,
    ),
    Loss(
        "student_mean",
        "StudentMean",
        "logit_kd",
        ("probs",),
        {
            "distance": _DISTANCE,
            "head_reduction": _HEAD_REDUCTION,
            "kernel": _KERNEL_OR_TRITON,
            "query_rows": _QUERY_ROWS,
        },
        clash_of=rows_of_maps,
        seeded=True,
    ),
    Loss(
        "random_alignment",
        "RandomAlignment",
        "logit_kd",
        ("probs",),
        {"distance": _DISTANCE, "head_reduction": _HEAD_REDUCTION, "kernel": _KERNEL},
        seeded=True,
    ),
    Loss(
        "hungarian",
        "Hungarian",
        "logit_kd",
        ("probs",),
        {"distance": _DISTANCE, "head_reduction": _HEAD_REDUCTION, "kernel": _KERNEL},
    ),
    Loss(
        "sinkhorn",
        "Sinkhorn",
        "logit_kd",
        ("probs",),
        {
            "distance": _DISTANCE,
            "epsilon": OptionSpec(
                float,
                0.05,
                above=0.0,
                maximum=LARGEST_NUMBER,
                description="weight of entropy, in units of 1 - cosine: small ones assign, large ones spread",
            ),
            "detach_alignment": _DETACH,
            "head_reduction": _HEAD_REDUCTION,
            "kernel": _KERNEL,
        },
    ),
    Loss("minilm", "MiniLM", "logit_kd", ("probs", "values"), {"kernel": _KERNEL}, supports_shapes=minilm),
    Loss(
        "minilm_v2",
        "MiniLMv2",
        "logit_kd",
        ("queries", "keys", "values"),
        {
            "relation_heads": OptionSpec(
                int,
                8,
                minimum=1,
                maximum=MOST_PARTS,
                description="heads that vectors of both models are cut into anew; divides both inner widths",
            ),
            "kernel": _KERNEL,
        },
        supports_shapes=relation_heads_divide,
    ),
    Loss(
        "tinybert",
        "TinyBert",
        "logit_kd",
        ("scores", "hidden"),
        {
            "attention": OptionSpec(
                bool, True, description="whether scores are compared, too, which takes equal head counts"
            )
        },
        supports_shapes=tinybert,
    ),
    Loss(
        "a2d",
        "A2D",
        "logit_kd",
        ("probs",),
        {
            "double_softmax": OptionSpec(
                bool,
                True,
                description="as released: a softmax over whole maps, which are probabilities already; false: "
                "over the weights of student maps, so that rows stay distributions",
            ),
            "reduction": OptionSpec(
                str, "sum", ("sum", "mean"), description="over samples and teacher maps; released is the sum"
            ),
            "decay": OptionSpec(
                float,
                0.9,
                above=0.0,
                maximum=LARGEST_NUMBER,
                description="factor of the loss weight after each epoch, without unit; 1: it stays",
            ),
        },
        every_layer=True,
    ),
    Loss(
        "shd",
        "SqueezingHeads",
        "logit_kd",
        ("probs", "values", "output_weight"),
        {"head_reduction": _HEAD_REDUCTION, "kernel": _KERNEL},
        supports_shapes=no_fewer_teacher_heads,
    ),
    Loss("hidden_mse", "HiddenMse", "logit_kd", ("hidden",)),
    Loss(
        "amad",
        "Amad",
        "logit_kd",
        ("probs",),
        {
            "variant": OptionSpec(
                str,
                "kl",
                ("kl", "mse", "projected", "token"),
                description="distance to mixtures of student heads: KL of rows, in nats; squared distance of "
                "maps of length 1, without unit; KL after a learned layer; KL with weights for each query",
            ),
            "similarity": OptionSpec(
                str,
                "cosine",
                ("cosine", "l1"),
                description="of two maps: their inner product over their L2 or their L1 norms, without unit",
            ),
            "temperature": OptionSpec(
                float,
                1.0,
                above=0.0,
                maximum=LARGEST_NUMBER,
                description="divides the similarities before the softmax, without unit; published is 1",
            ),
            "detach_alignment": _DETACH,
            "head_reduction": _HEAD_REDUCTION,
            "row_reduction": OptionSpec(
                str, "mean", ("mean", "sum"), description="over valid query rows, which `mse` does not have"
            ),
            "kernel": _KERNEL_OR_TRITON,
            "query_rows": _QUERY_ROWS,
        },
        labelled_by="variant",
        supports_shapes=projectable,
        clash_of=amad,
        seeded=True,
    ),
)
