"""The cached teacher is the teacher: a fresh forward pass of the same examples gives the same trace."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from amad_bench.data.tasks.batches import make_batch
from amad_bench.data.tasks.data import Answers
from amad_bench.data.tasks.loader import batches
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.models.attention.recorder import record
from amad_bench.training import teacher_cache
from amad_bench.training.distill import Objective
from amad_bench.training.run_model import fresh_model
from amad_bench.training.teacher_cache import TeacherOutputs
from tests.training.conftest import pick


def _objective(config, sites):
    return Objective(config.loss.model_copy(update={"sites": sites}))


def _outputs(config, data, sites):
    return TeacherOutputs(fresh_model(config, data), data, _objective(config, sites), torch.device("cpu"), 8)


def test_a_split_that_is_mostly_padding_is_not_stored(tiny_plan):
    """Its batches have lengths of their own; the trace then has the length of the student's batch."""
    config = pick(tiny_plan(), "vlt5", "vqa", "teacher").config
    data = load_task_data(config)
    wide = np.pad(data.train.source_ids_NL, ((0, 0), (0, 30)))
    train = replace(data.train, source_ids_NL=wide)
    outputs = _outputs(config, replace(data, train=train), ["encoder.self"])
    rows = np.array([3, 9])
    batch = make_batch(train, data.images, rows, "cpu")
    assert batch.inputs["input_ids"].shape[1] < data.train.source_ids_NL.shape[1] + 1
    layer = outputs.trace(rows, batch).sites["encoder.self"][0]
    assert outputs.stored is None
    assert layer.key_BHKD.shape[2] == batch.inputs["input_ids"].shape[1] + batch.inputs["boxes"].shape[1]


def test_the_outputs_of_one_answer_each_are_those_of_the_answer_not_of_the_target(tiny_plan):
    """Every question's only answer is the id 7; the cached labels are those of the training batches."""
    config = pick(tiny_plan(), "vlt5", "vqa", "teacher").config
    data = load_task_data(config)
    n, length = data.train.target_ids_NL.shape
    sevens = np.full((1, length), 7)
    answers = Answers(sevens, np.arange(n + 1), np.zeros(n, int), np.full(n, 0.3))
    train = replace(data.train, answers=answers)
    outputs = _outputs(config, replace(data, train=train), [])
    assert outputs.stored is not None
    rows = np.array([3, 9])
    ((_, batch),) = batches(train, data.images, [rows], "cpu", answer_generator=np.random.default_rng(5))
    assert torch.equal(outputs.trace(rows, batch).labels_BL, batch.labels_BL)
    assert set(batch.labels_BL.flatten().tolist()) == {7}


def test_outputs_are_not_stored_where_answers_are_drawn(tiny_plan):
    """The trace then is that of the batch's answers, not of the split's targets."""
    config = pick(tiny_plan(), "vlt5", "vqa", "teacher").config
    data = load_task_data(config)
    n, length = data.train.target_ids_NL.shape
    answers = Answers(
        np.ones((2, length), int), np.arange(0, 2 * n + 1, 2), np.tile([0, 1], n), np.ones(2 * n)
    )
    train = replace(data.train, answers=answers)
    outputs = _outputs(config, replace(data, train=train), [])
    assert outputs.stored is None
    rows = np.array([3, 9])
    batch = make_batch(train, data.images, rows, "cpu")
    batch = replace(batch, labels_BL=torch.full_like(batch.labels_BL, 7))
    assert torch.equal(outputs.trace(rows, batch).labels_BL, batch.labels_BL)


@pytest.mark.parametrize(
    ("memory_limit", "chunk"), [(2**31, 1), (2**31, 7), (2**31, 47), (2**31, 100), (0, 7)]
)
@pytest.mark.parametrize("family", ["vlt5", "blip"])
def test_cached_rows_equal_a_forward_pass(tiny_plan, monkeypatch, family, memory_limit, chunk):
    """48 examples: in chunks of 1, or the one left after 47, all tensors have one row.

    In some chunks of two nothing is padding, and VL-T5's cross-attention has no mask.
    """
    monkeypatch.setattr(teacher_cache, "MEMORY_LIMIT", memory_limit)
    config = pick(tiny_plan(), family, "vqa", "teacher").config
    data = load_task_data(config)
    sites = ["encoder.self", "decoder.cross"] if family == "vlt5" else ["vision.self", "text.cross"]
    model = fresh_model(config, data).train()  # the cache must switch dropout off by itself
    outputs = TeacherOutputs(model, data, _objective(config, sites), torch.device("cpu"), chunk)
    assert (outputs.stored is None) == (memory_limit == 0)
    rows = np.array([11, 3, 3, 46, 20])
    batch = make_batch(data.train, data.images, rows, "cpu")
    cached = outputs.trace(rows, batch)
    with record(model.eval(), sites) as recorder, torch.no_grad():
        fresh = recorder.trace(model(**batch.inputs, labels=batch.labels_BL), batch.labels_BL)
    assert torch.equal(cached.labels_BL, fresh.labels_BL)
    torch.testing.assert_close(cached.logits_BLV, fresh.logits_BLV, atol=1e-5, rtol=0)
    for site in sites:
        for old, new in zip(cached.sites[site], fresh.sites[site], strict=True):
            torch.testing.assert_close(old.probs_BHQK(), new.probs_BHQK(), atol=1e-6, rtol=0)
            torch.testing.assert_close(old.value_BHKD, new.value_BHKD, atol=1e-5, rtol=0)
            assert torch.equal(old.query_mask_BQ, new.query_mask_BQ)
