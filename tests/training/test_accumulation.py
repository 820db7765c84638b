"""Training in parts of a batch: to the last digits what whole batches give; and what happens without memory.

In float64, without dropout, with texts of unequal lengths, a question without an answer, and answers that
weigh less than 1.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from amad_bench.data.tasks.data import Answers
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.losses.kernels.choice import ENTRIES_AT_ONCE
from amad_bench.plan.catalogue import FAMILIES, LOSSES
from amad_bench.training.accumulation import MicroBatch, accumulated_step
from amad_bench.training.distill import Objective, ObjectiveValue
from amad_bench.training.loop import train
from amad_bench.training.optim import Updates
from amad_bench.training.random_state import random_state, set_random_state
from amad_bench.training.run_model import fresh_model
from amad_bench.training.teacher_outputs import OnlineOutputs
from tests.training.conftest import pick
from tests.training.test_every_loss import EQUAL_HEADS, IN_CHUNKS, LINES

CPU = torch.device("cpu")
STEPS, BATCH, EXAMPLES = 4, 8, 22  # the batches do not fit into an epoch
TASKS = [("vlt5", "vqa"), ("vlt5", "translation"), ("blip", "vqa")]
SOME = ("ce", "amad_kl", "a2d")
ALL = ("ce", "logit_kd", "amad_kl", *EQUAL_HEADS, *LINES)


@pytest.fixture(autouse=True)
def _double():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture
def trained(tiny_plan, tmp_path, monkeypatch):
    """trained(family, task, label, micro_batch, ...): weights, of the loss, too, and the lines of the log."""
    plan = tiny_plan(more_losses="".join(LINES.values()))

    def run(family, task, label, micro_batch=None, *, dropout=0.0, fails_at=None):
        monkeypatch.setitem(ENTRIES_AT_ONCE, "cpu", 1 if label in IN_CHUNKS else 2**22)
        equal = label in EQUAL_HEADS  # taught by a model of the student's own shape
        config = _config(pick(plan, family, task, "amad_kl" if equal else label).config, dropout)
        if equal:
            loss = config.loss.model_copy(update={"name": label, "label": label, "options": {}})
            config = config.model_copy(update={"loss": loss})
        data = load_task_data(config)
        of_one_size = label == "amad_projected"  # it refuses batches that are cut to their own lengths
        data = replace(data, train=_ragged(data.train, (family, task) == ("vlt5", "vqa"), of_one_size))
        assert data.train.mostly_padding != of_one_size
        if config.loss.sites:
            sites = [*FAMILIES[family].by_task[task].sites]
            config = config.model_copy(update={"loss": config.loss.model_copy(update={"sites": sites})})
        teacher = _config(pick(plan, family, task, "teacher").config, 0.0)
        if equal:
            teacher = config.model_copy(update={"seeds": config.seeds.model_copy(update={"init": 1})})
        model, objective = _model(config, data), Objective(config.loss)
        taught = OnlineOutputs(_model(teacher, data), objective).trace if objective.needs_teacher else None
        if fails_at is not None:
            _runs_out_of_memory(model, fails_at)
        micro, log = MicroBatch(micro_batch, BATCH), tmp_path / "steps.jsonl"
        log.unlink(missing_ok=True)
        train(model, objective, data, config, CPU, log, "test", taught, micro=micro)
        weights = {**model.state_dict(), **objective.state_dict()}
        assert all(tensor.dtype == torch.float64 for tensor in weights.values() if tensor.is_floating_point())
        return weights, [json.loads(line) for line in log.read_text().splitlines()], micro

    return run


def _config(config, dropout):
    training = config.training.model_copy(
        update={"steps": STEPS, "batch": BATCH, "learning_rate": 2e-3, "evaluations": 1}
    )
    shape = config.model.model_copy(update={"dropout": dropout})
    return config.model_copy(update={"training": training, "model": shape})


def _model(config, data):
    model = fresh_model(config, data)

    def doubled(_module, args, kwargs):
        return args, {k: v.double() if v.is_floating_point() else v for k, v in kwargs.items()}

    model.register_forward_pre_hook(doubled, with_kwargs=True)
    return model


def _ragged(train, weighted, of_one_size):
    """The first examples; every fifth has no target, every third one token, every other a short text."""
    train = train.first(EXAMPLES)
    ids_NL, sources_NL = np.array(train.target_ids_NL), np.array(train.source_ids_NL)
    ids_NL[::5] = train.pad
    if not of_one_size:
        ids_NL[::3, 1:] = train.pad
        sources_NL[::2, 2:] = train.pad
    train = replace(train, target_ids_NL=ids_NL, source_ids_NL=sources_NL)
    if not weighted:
        return replace(train, answers=None)
    n = len(train)
    answered = np.arange(n) % 5 > 0
    scores = np.linspace(0.3, 1, int(answered.sum()))
    answers = Answers(ids_NL, np.cumsum([0, *answered]), np.flatnonzero(answered), scores)
    return replace(train, answers=answers)


def _runs_out_of_memory(model, calls):
    """At the end of these calls of the model in training, counted from 1."""
    seen = []

    def raises(module, _args, _output):
        seen.extend([1] * module.training)
        if module.training and len(seen) in calls:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    model.register_forward_hook(raises)


def apart(one, other):
    assert one.keys() == other.keys()
    return max((one[name] - other[name]).abs().max().item() for name in one)


def assert_same_lines(lines, expected):
    """Every number of the log, alignments and their entropies included."""
    assert [line.keys() for line in lines] == [line.keys() for line in expected]
    for line, right in zip(lines, expected, strict=True):
        alignment, of_right = line.pop("alignment", {}), right.pop("alignment", {})
        norm, of_right_norm = line.pop("gradient_norm", 0.0), right.pop("gradient_norm", 0.0)
        assert norm == pytest.approx(of_right_norm, rel=1e-6)  # it moves a lot with the weights
        in_float32 = "validation_loss" in right
        assert line == pytest.approx(right, rel=1e-6 if in_float32 else 1e-9, abs=1e-9)
        assert alignment.keys() == of_right.keys()
        for key, one in alignment.items():
            assert one["entropy"] == pytest.approx(of_right[key]["entropy"], abs=1e-9)
            assert np.abs(np.array(one["rows"]) - of_right[key]["rows"]).max() <= 1.01e-4  # rounded
            assert one["changed_share"] == of_right[key]["changed_share"]


def table(trained, family, task, labels):
    """label -> the largest difference of any weight after the training in 1, 2 and 4 parts (and in 8)."""
    found = {}
    for label in labels:
        whole, lines, _ = trained(family, task, label)
        found[label] = []
        for size in (BATCH, 4, 2, 1):
            weights, own, micro = trained(family, task, label, size)
            assert (micro.size, micro.halved) == (size, False)
            assert_same_lines(own, json.loads(json.dumps(lines)))
            found[label].append(apart(weights, whole))
        print(family, task, label, *(f"{number:.1e}" for number in found[label]))
    return found


@pytest.mark.parametrize(("family", "task"), TASKS)
def test_parts_train_the_same_weights(trained, family, task):
    for label, (one, *others) in table(trained, family, task, SOME).items():
        assert one == 0.0, label
        assert 0.0 < max(others) <= 1e-10, label


@pytest.mark.slow
@pytest.mark.parametrize(("family", "task"), TASKS)
def test_parts_train_the_same_weights_with_every_loss(trained, family, task):
    assert LOSSES.keys() <= {*ALL, "amad"}
    for label, (one, *others) in table(trained, family, task, ALL).items():
        assert one == 0.0, label
        assert max(others) <= 1e-10, label


@pytest.mark.parametrize(("family", "task"), TASKS[1:])  # the first one's mean is over samples
def test_the_mean_of_the_parts_means_would_be_another_training(trained, family, task, monkeypatch):
    """The test above can fail: unequal parts matter in these data."""

    def part_value(one_step, rows, batch, epoch, _totals):
        def value_of(part):
            value = one_step(rows[part], batch.part(part), epoch)
            return value._replace(total=value.total * (part.stop - part.start) / len(batch))

        return value_of

    whole, *_ = trained(family, task, "ce")
    monkeypatch.setattr("amad_bench.training.loop.part_value", part_value)
    assert apart(trained(family, task, "ce", 2)[0], whole) > 1e-4


@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize(("calls", "size"), [({1}, 4), ({1, 3}, 2), ({1, 2, 3}, 1)])
def test_a_first_step_without_memory_is_that_of_a_smaller_micro_batch(trained, capsys, dropout, calls, size):
    """Call 3 is the second part of a step in halves: its first part has drawn, and has left gradients."""
    expected, lines, _ = trained("vlt5", "vqa", "amad_kl", size, dropout=dropout)
    capsys.readouterr()
    weights, own, micro = trained("vlt5", "vqa", "amad_kl", dropout=dropout, fails_at=calls)
    assert (micro.size, micro.halved) == (size, True)
    assert apart(weights, expected) == 0.0
    assert own == lines
    said = [line for line in capsys.readouterr().err.splitlines() if "out of memory" in line.lower()]
    assert len(said) == len(calls)
    assert said[0] == (
        "amad-bench: out of memory with 8 examples at once (CUDA out of memory. Tried to allocate 2.00 "
        "GiB.); goes on with micro_batch 4 at the same batch"
    )


def test_a_later_step_without_memory_changes_no_weight(trained):
    whole, lines, _ = trained("blip", "vqa", "amad_kl")
    weights, own, micro = trained("blip", "vqa", "amad_kl", fails_at={3})
    assert micro.size == 4
    assert 0.0 < apart(weights, whole) <= 1e-10
    assert_same_lines(own, lines)


def test_with_one_example_at_once_it_is_an_error(trained):
    with pytest.raises(torch.OutOfMemoryError):
        trained("vlt5", "vqa", "ce", 1, fails_at={2})


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(2))


@pytest.fixture
def layer(tiny_plan):
    module = Layer()
    return module, Updates([module], pick(tiny_plan(), "vlt5", "vqa", "ce").config.training)


def test_other_errors_pass_through_and_are_not_repeated(layer):
    module, updates = layer
    seen = []

    def value_of(part):
        seen.append(part)
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        accumulated_step(value_of, 4, MicroBatch(2, 4), updates, CPU)
    assert seen == [slice(0, 2)]
    assert module.weight.grad is None


def test_an_optimizer_without_memory_is_not_begun_again(layer, monkeypatch):
    """It may have changed some of the weights."""
    module, updates = layer

    def finish(_self):
        raise torch.OutOfMemoryError("no memory for its state")

    monkeypatch.setattr(Updates, "finish", finish)
    seen = []

    def value_of(part):
        seen.append(part)
        return ObjectiveValue(module.weight.sum(), {}, {})

    with pytest.raises(torch.OutOfMemoryError, match="for its state"):
        accumulated_step(value_of, 4, MicroBatch(None, 4), updates, CPU)
    assert seen == [slice(0, 4)]


def test_the_gradient_is_clipped_once_as_a_whole(layer):
    module, updates = layer
    updates.clip = 1.0
    parts = {0: torch.tensor([3.0, 0.0]), 1: torch.tensor([0.0, 4.0])}

    def value_of(part):
        return ObjectiveValue((module.weight * parts[part.start]).sum(), {"x": torch.tensor(1.0)}, {})

    value, norm = accumulated_step(value_of, 2, MicroBatch(1, 2), updates, CPU)
    assert norm.item() == pytest.approx(5.0)
    assert module.weight.grad.tolist() == pytest.approx([0.6, 0.8], rel=1e-5)
    assert (value.total.item(), value.parts["x"].item()) == (7.0, 2.0)
    assert not value.total.requires_grad


@pytest.mark.parametrize(
    ("size", "examples", "lengths"),
    [
        (None, 8, [8]),
        (8, 8, [8]),
        (100, 8, [8]),
        (3, 8, [2, 3, 3]),
        (4, 8, [4, 4]),
        (1, 3, [1, 1, 1]),
        (5, 6, [3, 3]),
    ],
)
def test_parts_are_few_and_nearly_equal(size, examples, lengths):
    parts = MicroBatch(size, 8).parts(examples)
    assert [part.stop - part.start for part in parts] == lengths
    assert [row for part in parts for row in range(part.start, part.stop)] == [*range(examples)]


def test_what_was_used_counts_until_something_else_is_asked_for(capsys):
    halved = MicroBatch(8, 16)
    halved.size = 4
    again = MicroBatch(8, 16)
    again.resume(halved.facts, "a-run")
    assert (again.size, again.halved) == (4, True)
    assert capsys.readouterr().out == ""
    other = MicroBatch(2, 16)
    other.resume(halved.facts, "a-run")
    assert (other.size, other.halved) == (2, False)
    assert capsys.readouterr().out == "a-run: goes on with micro_batch 2, begun with 4\n"
    older = MicroBatch(None, 16)  # a checkpoint of a version without micro-batches
    older.resume(None, "a-run")
    assert older.size == 16
    assert capsys.readouterr().out == ""


def test_the_random_state_is_put_back():
    state = random_state(CPU)
    first = torch.rand(3)
    set_random_state(state, CPU)
    assert torch.equal(first, torch.rand(3))
