"""Costs of losses by formula, against torch's count of what the losses run, forward and backward."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from amad_bench.losses import build_loss
from amad_bench.models.attention.trace import LayerTrace, Trace
from amad_bench.plan.catalogue import LOSSES
from amad_bench.plan.cost.data_facts import estimated_facts
from amad_bench.plan.cost.loss_cost import loss_cost
from amad_bench.plan.plan import Plan
from amad_bench.plan.run_config import Model, RunConfig, UsedLoss

Raw = dict[str, Any]
TOLERANCE = 0.02  # of the whole: lengths of maps and the like are left out of the formulas
SITE, LAYERS, BATCH, SOURCE = "encoder.self", 2, 2, 21
CASES: list[tuple[str, dict[str, Any]]] = [
    *(
        (name, {"distance": distance} | options)
        for name, options in (
            ("one_to_one", {"drop": "extra"}),
            ("head_mean", {}),
            ("student_mean", {}),
            ("random_alignment", {}),
            ("hungarian", {}),
            ("sinkhorn", {}),
            ("sinkhorn", {"detach_alignment": True}),
        )
        for distance in ("kl", "mse")
    ),
    *(("amad", {"variant": variant}) for variant in ("kl", "mse", "projected", "token")),
    *(
        ("amad", options)
        for options in (
            {"detach_alignment": True},
            {"detach_alignment": True, "variant": "projected"},
            {"similarity": "l1"},
            {"temperature": 0.1},
            {"query_rows": 7},
        )
    ),
    ("one_to_one", {"drop": "extra", "query_rows": 7}),
    ("minilm", {}),
    ("minilm_v2", {"relation_heads": 4}),
    ("tinybert", {}),
    ("a2d", {}),
    ("a2d", {"double_softmax": False}),
    ("shd", {}),
    ("hidden_mse", {}),
    ("logit_kd", {}),
]


def sized(heads: int, head_size: int, width: int) -> Model:
    return Model(
        layers=LAYERS,
        width=width,
        feed_forward=8,
        heads=heads,
        head_size=head_size,
        dropout=0.0,
        options={},
    )


def traced(model: Model, tokens: int, gradient: bool) -> Trace:
    def some(*shape: int) -> torch.Tensor:
        return torch.randn(*shape).requires_grad_(gradient)

    def layer() -> LayerTrace:
        query, key, value = (some(BATCH, model.heads, tokens, model.head_size) for _ in range(3))
        every = torch.ones(BATCH, tokens, dtype=torch.bool)
        weight = torch.randn(model.heads, model.head_size, model.width)
        return LayerTrace(query, key, value, 0.5, None, None, every, weight)

    labels = torch.ones(BATCH, 3, dtype=torch.long)
    hidden = {"encoder": [some(BATCH, tokens, model.width) for _ in range(LAYERS)]}
    return Trace(some(BATCH, 3, 7), labels, {SITE: [layer() for _ in range(LAYERS)]}, hidden)


def counted(name: str, options: dict[str, Any], teacher: Model, student: Model, tokens: int) -> float:
    """Operations of an example, by torch."""
    torch.manual_seed(0)
    sites = {"sites": [SITE], "layer_map": "uniform"} if LOSSES[name].attention else {}
    loss = build_loss(name, **sites, **options)
    traces = traced(teacher, tokens, False), traced(student, tokens, True)
    loss.materialise(*traces)
    with FlopCounterMode(display=False) as counter:
        sum(loss(*traces).values(), torch.zeros(())).backward()
    return counter.get_total_flops() / BATCH


@pytest.fixture
def student(raw: Raw, planned: Callable[[Any], Plan]) -> RunConfig:
    raw["losses"] = [{"name": "amad"}]
    return next(run.config for run in planned(raw).runs if run.kind == "student")


def with_loss(config: RunConfig, name: str, options: dict[str, Any], model: Model) -> RunConfig:
    used = UsedLoss(
        name=name,
        label=name,
        options=LOSSES[name].complete(options),
        loss_weights={},
        logit_temperature=None,
        sites=[SITE] if LOSSES[name].attention else [],
        layer_map="uniform",
    )
    return config.model_copy(update={"loss": used, "model": model})


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_a_loss_costs_what_torch_counts(student: RunConfig, name: str, options: dict[str, Any]) -> None:
    facts = estimated_facts(student)
    tokens = facts.source + (student.inputs.regions or 0)
    assert tokens > 7  # else query_rows are all rows
    heads = 2 if name in ("minilm", "tinybert") else 6  # which compare head with head
    of_teacher, of_student = sized(heads, 8, 40), sized(2, 12, 28)
    found = loss_cost(with_loss(student, name, options, of_student), of_teacher, facts, stored=False)
    assert found == pytest.approx(counted(name, options, of_teacher, of_student, tokens), rel=TOLERANCE)


def test_every_loss_is_counted() -> None:
    assert {name for name, _ in CASES} == LOSSES.keys() - {"ce"}


def test_stored_maps_need_no_scores_and_stored_queries_do(student: RunConfig) -> None:
    facts = estimated_facts(student)
    tokens = facts.source + (student.inputs.regions or 0)
    config = with_loss(student, "head_mean", {}, sized(2, 12, 28))
    small, large = sized(6, 8, 40), sized(6, 1, 40)  # whose maps are far larger than queries and keys
    for teacher, saved in ((small, 1), (large, 0)):
        online, stored = (loss_cost(config, teacher, facts, stored) for stored in (False, True))
        scores = 2 * teacher.heads * teacher.head_size * tokens**2
        assert online - stored == saved * LAYERS * scores
