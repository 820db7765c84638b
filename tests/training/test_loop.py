"""Training on a task: what it logs, which weights it keeps, what it does not depend on."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from amad_bench.data.tasks.data import Answers
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.scoring.validation import token_accuracy_and_loss
from amad_bench.training import loop
from amad_bench.training.distill import Objective
from amad_bench.training.loop import train
from amad_bench.training.run_model import fresh_model
from tests.training.conftest import pick


def _trained_with(config, changes):
    return config.model_copy(update={"training": config.training.model_copy(update=changes)})


def test_the_best_validation_weights_are_kept(tiny_plan, tmp_path, monkeypatch):
    """Validation says .5, .9, .9: the weights of the second evaluation win, the earlier one on a tie."""
    config = pick(tiny_plan(), "vlt5", "vqa", "ce").config
    data = load_task_data(config)
    model = fresh_model(config, data)
    seen = []

    def validation(model, *_, **__):
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return [0.5, 0.9, 0.9][len(seen) - 1], 1.0

    monkeypatch.setattr(loop, "token_accuracy_and_loss", validation)
    trained = train(
        model=model,
        objective=Objective(config.loss),
        data=data,
        config=_trained_with(config, {"evaluations": 3}),
        device=torch.device("cpu"),
        log_path=tmp_path / "steps.jsonl",
        description="test",
    )
    assert trained.best_step == 4
    assert all(torch.equal(value, seen[1][name]) for name, value in model.state_dict().items())
    assert not torch.equal(seen[1]["shared.weight"], seen[2]["shared.weight"])


def test_training_learns_and_logs_each_part(tiny_plan, tmp_path):
    config = pick(tiny_plan(), "vlt5", "vqa", "ce").config
    data = load_task_data(config)
    model = fresh_model(config, data)
    before = token_accuracy_and_loss(model, data.train, data.images, "cpu", batch=64)[1]
    train(
        model=model,
        objective=Objective(config.loss),
        data=data,
        config=_trained_with(config, {"steps": 60, "learning_rate": 1e-2}),
        device=torch.device("cpu"),
        log_path=tmp_path / "steps.jsonl",
        description="test",
    )
    after = token_accuracy_and_loss(model, data.train, data.images, "cpu", batch=64)[1]
    assert after < 0.7 * before
    logged = [json.loads(line) for line in (tmp_path / "steps.jsonl").read_text().splitlines()]
    assert all(row["ce"] == row["loss"] for row in logged if "loss" in row)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_neither_workers_nor_evaluations_in_between_change_training(tiny_plan, tmp_path):
    """Dropout .1 draws from the global generator at every step: one more draw anywhere would show."""
    config = pick(tiny_plan(), "blip", "vqa", "ce").config
    data = load_task_data(config)
    logs = {}
    for workers, evaluations in ((0, 1), (0, 6), (2, 6)):
        path = tmp_path / f"{workers}-{evaluations}.jsonl"
        train(
            model=fresh_model(config, data),
            objective=Objective(config.loss),
            data=data,
            config=_trained_with(config, {"evaluations": evaluations}),
            device=torch.device("cpu"),
            log_path=path,
            description="test",
            workers=workers,
        )
        logs[workers, evaluations] = [json.loads(line) for line in path.read_text().splitlines()]
    assert logs[2, 6] == logs[0, 6]
    few = {row["step"]: row for row in logs[0, 1] if "loss" in row}
    many = {row["step"]: row for row in logs[0, 6] if "loss" in row}
    assert sorted(few) == [1, 6]
    assert all(many[step] == few[step] for step in few)


def test_the_share_of_padding_is_logged(tiny_plan, tmp_path):
    config = pick(tiny_plan(), "vlt5", "vqa", "ce").config
    data = load_task_data(config)
    train(
        model=fresh_model(config, data),
        objective=Objective(config.loss),
        data=data,
        config=_trained_with(config, {"steps": 1, "batch": len(data.train), "evaluations": 1}),
        device=torch.device("cpu"),
        log_path=tmp_path / "steps.jsonl",
        description="test",
    )
    row = json.loads((tmp_path / "steps.jsonl").read_text().splitlines()[0])
    ids = [data.train.source_ids_NL, data.train.target_ids_NL]
    padded = sum(int((part == 0).sum()) for part in ids)
    assert row["padding_share"] == pytest.approx(padded / sum(part.size for part in ids))
    assert 0 < row["padding_share"] < 0.5


@pytest.mark.trap("vlt5-16")
def test_vqa_loss_of_vlt5_is_weighed_with_the_score_of_the_drawn_answer(tiny_plan, tmp_path):
    """Each question has one answer, its target, which earns 1 or .3; or the data set has no scores (None)."""
    config = pick(tiny_plan(), "vlt5", "vqa", "ce").config
    data = load_task_data(config)
    n = len(data.train)
    ids_AL = np.array(data.train.target_ids_NL)
    losses = {}
    for score in (None, 1.0, 0.3):
        answers = score and Answers(ids_AL, np.arange(n + 1), np.arange(n), np.full(n, score))
        path = tmp_path / f"{score}.jsonl"
        train(
            model=fresh_model(config, data),
            objective=Objective(config.loss),
            data=replace(data, train=replace(data.train, answers=answers)),
            config=_trained_with(config, {"steps": 1, "evaluations": 1}),
            device=torch.device("cpu"),
            log_path=path,
            description="test",
        )
        losses[score] = json.loads(path.read_text().splitlines()[0])["ce"]
    assert losses[1.0] == losses[None]
    assert losses[0.3] == pytest.approx(0.3 * losses[None], rel=1e-5)
