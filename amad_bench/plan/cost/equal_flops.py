"""Students at equal FLOPs: each trains so many steps that it costs no more than `ce` at the config's steps.

Counted is what training a student takes: forward and backward passes of its own and of its loss; forward
passes of its teacher, one for each training example where outputs are stored, else one for each example of
each batch; where an assistant teaches, training that. Teachers, pre-training, validation and predictions are
not counted: they are the same for all. Numbers and lengths of examples are those of the config and the
catalogue, never of prepared data: steps are part of a run's identity, which must not change when data are
prepared.
"""

from dataclasses import replace
from typing import NamedTuple

from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.cost.data_facts import DataFacts, estimated_facts
from amad_bench.plan.cost.loss_cost import loss_cost
from amad_bench.plan.cost.run_cost import BACKWARD, draws_answers, examples_read, pass_cost
from amad_bench.plan.run import Run
from amad_bench.plan.run_config import RunConfig


class TooFewSteps(Exception):
    """No training can be had for the budget; str() is the reason."""


class _Spent(NamedTuple):
    """FLOPs of a training: of each example in each update, and once."""

    of_example: float
    once: float


def at_equal_flops(student: Run, source: Run, teacher: Run) -> Run:
    """The student with the steps that its budget has room for.

    student: as the config says. source: what it learns from, the teacher or an assistant. TooFewSteps where
    that leaves fewer steps than it has validations, or a family's FLOPs are unknown.
    """
    training = student.config.training
    spent = _spent(student.config, source.config)
    budget = training.batch * training.steps * _own(student.config, estimated_facts(student.config))
    left = budget - spent.once
    if source.kind == "student":
        assistant, before = source.config.training, _spent(source.config, teacher.config)
        left -= assistant.batch * assistant.steps * before.of_example + before.once
    steps = max(0, int(left / (training.batch * spent.of_example)))
    if steps < training.evaluations:
        raise TooFewSteps(
            f"equal FLOPs leave it {steps} of {training.steps} steps, fewer than its {training.evaluations} "
            "evaluations"
        )
    config = student.config.model_copy(update={"training": training.model_copy(update={"steps": steps})})
    return replace(student, id=config.run_id, config=config, budget="flops")


def _own(config: RunConfig, facts: DataFacts) -> float:
    """FLOPs of an example's forward and backward pass."""
    one = pass_cost(config, facts)
    if one is None:
        raise TooFewSteps(f"FLOPs of {FAMILIES[config.family].label} are unknown: its record has no `cost`")
    return (1 + BACKWARD) * (one.read + one.write) + one.frozen


def _spent(config: RunConfig, source: RunConfig) -> _Spent:
    """source: the model that teaches it, if one does."""
    facts = estimated_facts(config)
    own = _own(config, facts)
    if config.teacher is None or config.teacher.run_id is None:  # an assistant may be trained by `ce`
        return _Spent(own, 0.0)
    taught = pass_cost(source, facts)
    assert taught is not None  # of the same family
    stored = config.outputs_key is not None and not draws_answers(config)
    own += loss_cost(config, source.model, facts, stored)
    if not stored:
        return _Spent(own + taught.forward, 0.0)
    examples = examples_read(config, facts)
    if not examples:
        raise TooFewSteps("the number of training examples is unknown; say it in `student.examples`")
    return _Spent(own, float(examples) * taught.forward)
