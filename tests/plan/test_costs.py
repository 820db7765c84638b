"""Costs by formula against the models themselves: torch's count of a pass, and their parameters."""

from typing import Any

import pytest
import torch
from torch import Tensor

from amad_bench.models.cost import EXAMPLES, flops_per_example
from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.catalogue.costs import PassCost, PassShape
from amad_bench.plan.run_config import RunConfig, Side
from tests.tiny_models import KINDS, SHAPE, VOCABULARY, built, run_config, tiny_batch

POSITIONS = 24
SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {},
    "odd": {"layers": 3, "width": 24, "feed_forward": 40, "heads": 3, "head_size": 8},
    "numbered": {"options": SHAPE.options | {"order_embedding": True}},
    "one layer": {"layers": 1, "width": 32, "feed_forward": 48, "heads": 2, "head_size": 16},
}
TWO_SIDES = {"other_sides": {"vision": Side(layers=3, width=24, feed_forward=72, heads=6, head_size=4)}}


def cost_of(config: RunConfig, batch: dict[str, Tensor]) -> PassCost:
    """By the record of the config's family."""
    cost, labels = FAMILIES[config.family].cost, batch.get("labels")
    assert cost is not None
    return cost(
        PassShape(
            model=config.model,
            task=config.task,
            condition=config.pretraining if config.kind == "pretrain" else "",
            source=batch["input_ids"].shape[1],
            target=0 if labels is None else labels.shape[1],
            vocabulary=VOCABULARY,
            positions=POSITIONS,
            regions=config.inputs.regions or 0,
            feature_size=config.inputs.feature_size or 0,
            patches=config.inputs.patches or (0, 1),
            batch=EXAMPLES,
            options=config.pretraining_options,
        )
    )


def parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_pass_of_a_task(kind: str, shape: str) -> None:
    config = run_config(kind, shape=SHAPE.model_copy(update=SHAPES[shape]))
    model, batch = built(config, positions=POSITIONS), tiny_batch(kind)
    cost = cost_of(config, batch)
    assert cost.forward == flops_per_example(model, batch)
    assert cost.parameters == parameters(model)


@pytest.mark.parametrize("kind", ["blip-vqa", "blip-captioning"])
def test_sides_of_two_widths(kind: str) -> None:
    config = run_config(kind, shape=SHAPE.model_copy(update=TWO_SIDES))
    model, batch = built(config, positions=POSITIONS), tiny_batch(kind)
    cost = cost_of(config, batch)
    assert cost.forward == flops_per_example(model, batch)
    assert cost.parameters == parameters(model)


@pytest.mark.parametrize(
    ("family", "condition", "momentum"),
    [
        ("vlt5", "text", False),
        ("vlt5", "vl", False),
        ("blip", "text", False),
        ("blip", "vl", False),
        ("blip", "vl", True),
    ],
)
def test_a_pass_of_a_pre_training(family: str, condition: str, momentum: bool) -> None:
    config = run_config(family, condition, pretrains=True, momentum_distillation=momentum)
    model = built(config, positions=POSITIONS)
    batch = tiny_batch("vlt5" if family == "vlt5" else "blip-vqa")
    if family == "vlt5":
        batch["tasks_B"] = torch.zeros(3, dtype=torch.long)
    elif condition == "text":
        del batch["pixel_values"]
        batch["labels"] = batch["input_ids"]
    else:
        del batch["labels"]
        batch["image_ids"] = torch.tensor([4, 7, 9])
    cost = cost_of(config, batch)
    assert cost.forward == flops_per_example(model, batch)
    assert cost.parameters == parameters(model)
    assert bool(cost.frozen) == momentum


def test_what_is_written_costs_as_much_more_as_it_is_longer() -> None:
    """Reading costs the same: what an answer of another length costs is known from the two."""
    config, batch = run_config("blip-vqa"), tiny_batch("blip-vqa")
    longer = {**batch, "labels": torch.cat([batch["labels"], batch["labels"]], dim=1)}
    short, long = cost_of(config, batch), cost_of(config, longer)
    assert short.read == long.read
    model = built(config, positions=POSITIONS)
    assert long.write - short.write == flops_per_example(model, longer) - flops_per_example(model, batch)
