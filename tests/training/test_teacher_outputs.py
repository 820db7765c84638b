"""A stored teacher is the teacher: a fresh forward pass of the same examples gives the same trace."""

import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from amad_bench.data.tasks.batches import make_batch
from amad_bench.data.tasks.data import Answers
from amad_bench.data.tasks.loader import batches
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.models.attention.recorder import record
from amad_bench.models.attention.trace import AttentionDomainError
from amad_bench.plan.catalogue import LOSSES
from amad_bench.runtime.locks import exclusive
from amad_bench.runtime.results import RESULTS
from amad_bench.training import outputs_writer, teacher_outputs
from amad_bench.training.distill import Objective
from amad_bench.training.run import train_run
from amad_bench.training.run_model import fresh_model
from amad_bench.training.teacher_outputs import (
    OnlineOutputs,
    StoredOutputs,
    Wanted,
    storable,
    stored_parts,
    teacher_trace,
)
from tests.training.conftest import pick

CPU = torch.device("cpu")
OF = {"teacher": "t"}


def _objective(config, loss, sites):
    used = config.loss.model_copy(
        update={"name": loss, "options": LOSSES[loss].complete({}), "sites": sites, "label": loss}
    )
    weights = dict.fromkeys(LOSSES[loss].weighted_parts, 1.0)
    return Objective(used.model_copy(update={"loss_weights": weights, "logit_temperature": 2.0}))


def _stored(folder, model, data, objective, depths, chunk=8):
    wanted = Wanted.of(objective, depths)
    return StoredOutputs(stored_parts(folder, OF, wanted, lambda: model, data, CPU, chunk), wanted, CPU)


def _answers(train, per_question):
    n = len(train)
    return Answers(
        np.full((2, train.target_ids_NL.shape[1]), 7),
        np.arange(0, per_question * n + 1, per_question),
        np.arange(per_question * n) % 2,
        np.full(per_question * n, 0.3),
    )


def test_what_is_drawn_anew_or_has_lengths_of_its_own_is_not_stored(tiny_plan):
    train = load_task_data(pick(tiny_plan(), "vlt5", "vqa", "teacher").config).train
    assert storable(replace(train, answers=None))
    assert storable(replace(train, answers=_answers(train, 1)))
    assert not storable(replace(train, answers=_answers(train, 2)))
    wide = np.pad(train.source_ids_NL, ((0, 0), (0, 30)))
    assert not storable(replace(train, answers=None, source_ids_NL=wide))


def test_the_outputs_of_one_answer_each_are_those_of_the_answer_not_of_the_target(tiny_plan, tmp_path):
    """Every question's only answer has the ids 7; the teacher is given them, as in training."""
    config = pick(tiny_plan(), "vlt5", "vqa", "teacher").config
    data = load_task_data(config)
    train = replace(data.train, answers=_answers(data.train, 1))
    data = replace(data, train=train)
    model, objective = fresh_model(config, data).eval(), _objective(config, "logit_kd", [])
    outputs = _stored(tmp_path / "outputs", model, data, objective, {})
    rows = np.array([3, 9])
    ((_, batch),) = batches(train, data.images, [rows], "cpu", answer_generator=np.random.default_rng(5))
    assert set(batch.labels_BL.flatten().tolist()) == {7}
    fresh = OnlineOutputs(model, objective).trace(rows, batch)
    torch.testing.assert_close(outputs.trace(rows, batch).logits_BLV, fresh.logits_BLV, atol=1e-5, rtol=0)


@pytest.mark.parametrize("chunk", [1, 7, 47, 100])
@pytest.mark.parametrize("loss", ["amad", "minilm", "tinybert"])
@pytest.mark.parametrize("family", ["vlt5", "blip"])
def test_stored_rows_equal_a_forward_pass(tiny_plan, tmp_path, family, loss, chunk):
    """48 examples: in chunks of 1, or the one left after 47, all tensors have one row.

    In some chunks of two nothing is padding, and VL-T5's cross-attention has no mask. The stated tolerance:
    1e-5 of logits and states, 1e-6 of probabilities.
    """
    config = pick(tiny_plan(), family, "vqa", "teacher").config
    data = load_task_data(config)
    sites = ["encoder.self", "decoder.cross"] if family == "vlt5" else ["vision.self", "text.cross"]
    model = fresh_model(config, data).train()  # dropout is switched off by itself
    outputs = _stored(
        tmp_path / "outputs", model, data, _objective(config, loss, sites), dict.fromkeys(sites, 2), chunk
    )
    rows = np.array([11, 3, 3, 46, 20])
    batch = make_batch(data.train, data.images, rows, "cpu")
    stored = outputs.trace(rows, batch)
    with record(model.eval(), sites, hidden=True) as recorder, torch.no_grad():
        fresh = recorder.trace(model(**batch.inputs, labels=batch.labels_BL), batch.labels_BL)
    assert torch.equal(stored.labels_BL, fresh.labels_BL)
    torch.testing.assert_close(stored.logits_BLV, fresh.logits_BLV, atol=1e-5, rtol=0)
    for site in sites:
        for old, new in zip(stored.sites[site], fresh.sites[site], strict=True):
            assert torch.equal(old.query_mask_BQ, new.query_mask_BQ)
            torch.testing.assert_close(old.probs_BHQK(), new.probs_BHQK(), atol=1e-6, rtol=0)
            if new.mask_BHQK is not None:
                assert torch.equal(*torch.broadcast_tensors(old.mask_BHQK, new.mask_BHQK))
            if loss == "minilm":
                torch.testing.assert_close(old.value_BJKD, new.value_BJKD, atol=1e-5, rtol=0)
                assert torch.equal(old.output_weight_HDd, new.output_weight_HDd)
            if loss == "tinybert":
                torch.testing.assert_close(old.scores_BHQK(), new.scores_BHQK(), atol=1e-5, rtol=0)
        if loss == "tinybert":
            stack = site.partition(".")[0]
            torch.testing.assert_close(stored.hidden[stack][0], fresh.hidden[stack][0], atol=1e-5, rtol=0)


def test_of_long_maps_queries_and_keys_are_stored(tiny_plan, tmp_path, monkeypatch):
    config = pick(tiny_plan(), "vlt5", "vqa", "teacher").config
    data = load_task_data(config)
    model, objective = fresh_model(config, data).eval(), _objective(config, "amad", ["encoder.self"])
    rows = np.arange(4)
    batch = make_batch(data.train, data.images, rows, "cpu")
    found = {}
    for factor, kept in ((4, {"probs", "mask"}), (0, {"query", "key", "mask"})):
        monkeypatch.setattr(outputs_writer, "MAPS_AT_MOST", factor)
        outputs = _stored(tmp_path / str(factor), model, data, objective, {"encoder.self": 2})
        part = outputs.parts["encoder.self-1-maps"]
        assert set(part.each) == kept
        found[factor] = outputs.trace(rows, batch).sites["encoder.self"][1].probs_BHQK()
    torch.testing.assert_close(found[0], found[4], atol=1e-6, rtol=0)


def test_only_what_is_read_is_stored_and_parts_are_shared(tiny_plan, tmp_path):
    config = pick(tiny_plan(), "vlt5", "vqa", "teacher").config
    data = load_task_data(config)
    model, folder = fresh_model(config, data).eval(), tmp_path / "outputs"
    batch = make_batch(data.train, data.images, np.arange(2), "cpu")
    stored = {}
    for loss in ("logit_kd", "amad", "minilm"):
        objective = _objective(config, loss, [] if loss == "logit_kd" else ["encoder.self"])
        objective.teacher_layers = None if loss == "logit_kd" else {"encoder.self": [1]}
        outputs = _stored(folder, model, data, objective, {"encoder.self": 2} if objective.sites else {})
        stored[loss] = sorted(path.name for path in folder.iterdir())
        if loss == "amad":
            layer = outputs.trace(np.arange(2), batch).sites["encoder.self"][1]
            with pytest.raises((RuntimeError, NotImplementedError)):  # nobody asked for the values
                (layer.value_BJKD + torch.ones(2, 2, 2, 2)).sum().item()
    assert stored["logit_kd"] == ["logits"]
    assert stored["amad"] == ["encoder.self-1-maps", "encoder.self-1-tokens", "logits"]
    assert stored["minilm"] == [*stored["amad"][:2], "encoder.self-1-values", "logits"]


def test_students_of_one_teacher_compute_its_outputs_once(tiny_plan, monkeypatch):
    plan = tiny_plan()
    for label in ("teacher", "amad_kl"):
        assert train_run(pick(plan, "vlt5", "vqa", label), "cpu") == "done"
    student = pick(plan, "vlt5", "vqa", "amad_kl", replicate=1)
    assert student.config.outputs_key == pick(plan, "vlt5", "vqa", "amad_kl").config.outputs_key

    def compute(*_):
        raise AssertionError("computed again")

    monkeypatch.setattr(teacher_outputs, "_compute", compute)
    assert train_run(student, "cpu") == "done"


def test_outputs_of_a_teacher_that_was_trained_again_are_computed_again(tiny_plan, capsys):
    """Its id is the same; the stored outputs are of other weights."""
    plan = tiny_plan()
    teacher, student = (pick(plan, "vlt5", "vqa", label) for label in ("teacher", "amad_kl"))
    train_run(teacher, "cpu")
    data = load_task_data(student.config)
    objective = Objective(student.config.loss)
    rows = np.arange(3)
    batch = make_batch(data.train, data.images, rows, "cpu")
    first = teacher_trace(student, data, objective, CPU)(rows, batch)
    path = RESULTS.run(teacher.id).checkpoint
    with safe_open(str(path), "pt") as file:
        metadata = file.metadata()
    save_file({name: 2 * value for name, value in load_file(path).items()}, path, metadata=metadata)
    second = teacher_trace(student, data, objective, CPU)(rows, batch)
    assert not torch.equal(first.logits_BLV, second.logits_BLV)
    assert "outputs of something else; set aside" in capsys.readouterr().err


def test_who_waits_for_outputs_of_other_weights_takes_none_away(tiny_plan, tmp_path, capsys):
    """Many students start at once when a teacher was trained again: one has the lock and makes new parts."""
    config = pick(tiny_plan(), "vlt5", "vqa", "teacher").config
    data, folder = load_task_data(config), tmp_path / "outputs"
    model, objective = fresh_model(config, data).eval(), _objective(config, "logit_kd", [])
    _stored(folder, model, data, objective, {})
    killed = folder / ".logits.01.tmp"
    killed.mkdir()
    wanted, found = Wanted.of(objective, {}), []

    def wait():
        found.append(stored_parts(folder, {"teacher": "u"}, wanted, lambda: model, data, CPU, 8))

    with exclusive(folder):
        waiting = threading.Thread(target=wait)
        waiting.start()
        waiting.join(timeout=1)
        assert waiting.is_alive()
        assert (folder / "logits").is_dir()
    waiting.join()
    assert set(found[0]) == {"logits"}
    assert {path.name for path in folder.iterdir()} == {"logits", "logits.damaged"}
    assert capsys.readouterr().err.count("set aside") == 1


def test_online_outputs_and_layers_that_were_not_recorded(tiny_plan):
    plan = tiny_plan()
    teacher, student = (pick(plan, "vlt5", "vqa", label) for label in ("teacher", "amad_kl"))
    train_run(teacher, "cpu")
    taught = student.config.teacher.model_copy(update={"outputs": "online"})
    student = replace(student, config=student.config.model_copy(update={"teacher": taught}))
    assert student.config.outputs_key is None
    data, rows = load_task_data(student.config), np.arange(3)
    batch = make_batch(data.train, data.images, rows, "cpu")
    objective = Objective(student.config.loss)
    trace = teacher_trace(student, data, objective, CPU)(rows, batch)
    assert not RESULTS.teacher_outputs.exists()
    layers = trace.sites["encoder.self"]
    assert layers[-1].probs_BHQK().shape[0] == 3
    assert list(objective.teacher_layers["encoder.self"]) == [len(layers) - 1]
    if len(layers) > 1:
        with pytest.raises(AttentionDomainError, match="layer 0 was not recorded, only: 1"):
            layers[0]
