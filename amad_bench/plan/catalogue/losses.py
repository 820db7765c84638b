"""Losses, a record each."""

from dataclasses import replace

from amad_bench.plan.catalogue.loss import Loss
from amad_bench.plan.catalogue.loss_costs import (
    aligned,
    all_related,
    convolved,
    hidden_mapped,
    matched,
    mixed,
    squeezed,
    values_related,
)
from amad_bench.plan.catalogue.options import OptionSpec, by_name
from amad_bench.plan.catalogue.supports import (
    amad,
    minilm,
    no_fewer_teacher_heads,
    one_to_one,
    projectable,
    relation_heads_divide,
    rows_of_maps,
    tinybert,
)
from amad_bench.plan.limits import LARGEST_NUMBER, MOST_PARTS

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
    Loss("ce", "CrossEntropy", "none", (), compares="nothing: cross-entropy of the labels alone"),
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
        compares="output distributions: T² KL(softmax(z_teacher / T) ‖ softmax(z_student / T))",
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
        compares="head h with head h: Σ_h D(t_h, s_h)",
    ),
    Loss(
        "head_mean",
        "HeadMean",
        "logit_kd",
        ("probs",),
        {"distance": _DISTANCE, "kernel": _KERNEL_OR_TRITON, "query_rows": _QUERY_ROWS},
        clash_of=rows_of_maps,
        seeded=True,
        compares="the mean head with the mean head: D(mean_h t_h, mean_g s_g)",
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
        compares="each teacher head with the mean student head, a control: Σ_h D(t_h, mean_g s_g)",
        products=mixed,
    ),
    Loss(
        "random_alignment",
        "RandomAlignment",
        "logit_kd",
        ("probs",),
        {"distance": _DISTANCE, "head_reduction": _HEAD_REDUCTION, "kernel": _KERNEL},
        seeded=True,
        compares="each teacher head with a mixture drawn once, a control: "
        "Σ_h D(t_h, Σ_g a_hg s_g), a_h ~ Dirichlet(1)",
        products=mixed,
    ),
    Loss(
        "hungarian",
        "Hungarian",
        "logit_kd",
        ("probs",),
        {"distance": _DISTANCE, "head_reduction": _HEAD_REDUCTION, "kernel": _KERNEL},
        compares="the best one-to-one assignment π of heads: Σ_h D(t_h, s_π(h))",
        products=matched,
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
        compares="each teacher head with a mixture by entropic transport: Σ_h D(t_h, Σ_g a_hg s_g)",
        products=aligned,
    ),
    Loss(
        "minilm",
        "MiniLM",
        "logit_kd",
        ("probs", "values"),
        {"kernel": _KERNEL},
        supports_shapes=minilm,
        compares="maps and value relations of the last layer: KL(A_t ‖ A_s) + KL(VR_t ‖ VR_s)",
        products=values_related,
    ),
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
        compares="relations of re-split queries, keys and values: "
        "Σ_X KL(softmax(X_t X_tᵀ / √d) ‖ softmax(X_s X_sᵀ / √d))",
        products=all_related,
    ),
    Loss(
        "tinybert",
        "TinyBert",
        "logit_kd",
        ("scores", "hidden"),
        supports_shapes=tinybert,
        compares="pre-softmax scores and hidden states: MSE(S_t, S_s) + MSE(H_t, H_s W)",
        elsewhere={"attention": "hidden states alone are the loss hidden_mse, write that one"},
        products=hidden_mapped,
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
        compares="all teacher maps with a learned 1 × 1 convolution of all student maps: KL(T ‖ conv(S))",
        products=convolved,
    ),
    Loss(
        "shd",
        "SqueezingHeads",
        "logit_kd",
        ("probs", "values", "output_weight"),
        {"head_reduction": _HEAD_REDUCTION, "kernel": _KERNEL},
        supports_shapes=no_fewer_teacher_heads,
        compares="teacher heads merged to as many as the student has: Σ_g KL(merged_g ‖ s_g)",
        products=squeezed,
    ),
    Loss(
        "hidden_mse",
        "HiddenMse",
        "logit_kd",
        ("hidden",),
        compares="hidden states through a learned map: MSE(H_t, H_s W)",
        products=hidden_mapped,
    ),
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
        compares="each teacher head with its soft mixture of student heads: "
        "Σ_h D(t_h, Σ_g a_hg s_g), a_hg = softmax_g(cos(t_h, s_g) / τ)",
        products=aligned,
    ),
)
