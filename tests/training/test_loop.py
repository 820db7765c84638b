"""The loop's own arithmetic: schedule, weight decay, the choice of weights."""

import json

import pytest
import torch

from amad_bench.data.prepare import load_task_data
from amad_bench.scoring.validation import token_accuracy_and_loss
from amad_bench.training import loop
from amad_bench.training.distill import Objective
from amad_bench.training.loop import _parameter_groups, _warm_up_then_decay, train
from amad_bench.training.run import _fresh_model
from tests.tiny_models import tiny_model
from tests.training.conftest import pick


def test_schedule_rises_then_falls_to_zero():
    """100 steps, 10 % warm-up: 1/10, 2/10, ..., 1 at the tenth step, then linear to 0 after the last."""
    rates = [_warm_up_then_decay(step, 100, 0.1) for step in range(101)]
    assert rates[:3] == pytest.approx([0.1, 0.2, 0.3])
    assert rates[9:12] == pytest.approx([1.0, 1.0, 89 / 90])
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == 0.0
    assert _warm_up_then_decay(0, 10, 0.0) == 1.0
    # 6 steps: the warm-up of .6 steps ends within the first, never above the given rate
    assert [_warm_up_then_decay(step, 6, 0.1) for step in range(6)] == pytest.approx(
        [1.0, 5 / 5.4, 4 / 5.4, 3 / 5.4, 2 / 5.4, 1 / 5.4]
    )


@pytest.mark.parametrize(
    ("kind", "decayed", "free"),
    [
        # METHODS.md: official VL-T5 decays T5's norms, whose name its exclusion misses, but no bias
        ("vlt5", "encoder.final_layer_norm.weight", "relative_attention_bias"),
        ("blip-vqa", "text_encoder.encoder.layer.0.attention.self.query.weight", "LayerNorm.weight"),
    ],
)
def test_weight_decay_groups(kind, decayed, free):
    model = tiny_model(kind)
    objective = Objective({"name": "ce", "label": "ce", "options": {}, "weights": {"ce": 1.0}, "sites": []})
    kept, excluded = ({id(p) for p in group["params"]} for group in _parameter_groups(model, objective, 0.01))
    names = dict(model.named_parameters())
    assert id(names[decayed]) in kept
    assert {id(p) for name, p in names.items() if free in name} <= excluded
    assert len(kept) + len(excluded) == len(names)


def test_the_best_validation_weights_are_kept(tiny_plan, tmp_path, monkeypatch):
    """Validation says .5, .9, .9: the weights of the second evaluation win, the earlier one on a tie."""
    config = pick(tiny_plan(), "vlt5", "vqa", "ce").config
    data = load_task_data(config)
    model = _fresh_model(config, data)
    seen = []

    def validation(model, *args, workers):
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return [0.5, 0.9, 0.9][len(seen) - 1], 1.0

    monkeypatch.setattr(loop, "token_accuracy_and_loss", validation)
    trained = train(
        model=model,
        objective=Objective(config["loss"]),
        data=data,
        options={**config["training"], "evaluations": 3},
        seeds=config["seeds"],
        device=torch.device("cpu"),
        log_path=tmp_path / "steps.jsonl",
        teacher_trace=None,
        description="test",
    )
    assert trained.best_step == 4
    assert all(torch.equal(value, seen[1][name]) for name, value in model.state_dict().items())
    assert not torch.equal(seen[1]["shared.weight"], seen[2]["shared.weight"])


def test_training_learns_and_logs_each_part(tiny_plan, tmp_path):
    config = pick(tiny_plan(), "vlt5", "vqa", "ce").config
    data = load_task_data(config)
    model = _fresh_model(config, data)
    before = token_accuracy_and_loss(model, data.train, data.images, "cpu")[1]
    options = {**config["training"], "steps": 60, "learning_rate": 1e-2}
    train(
        model=model,
        objective=Objective(config["loss"]),
        data=data,
        options=options,
        seeds=config["seeds"],
        device=torch.device("cpu"),
        log_path=tmp_path / "steps.jsonl",
        teacher_trace=None,
        description="test",
    )
    after = token_accuracy_and_loss(model, data.train, data.images, "cpu")[1]
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
            model=_fresh_model(config, data),
            objective=Objective(config["loss"]),
            data=data,
            options={**config["training"], "evaluations": evaluations},
            seeds=config["seeds"],
            device=torch.device("cpu"),
            log_path=path,
            teacher_trace=None,
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
        model=_fresh_model(config, data),
        objective=Objective(config["loss"]),
        data=data,
        options={**config["training"], "steps": 1, "batch": len(data.train), "evaluations": 1},
        seeds=config["seeds"],
        device=torch.device("cpu"),
        log_path=tmp_path / "steps.jsonl",
        teacher_trace=None,
        description="test",
    )
    row = json.loads((tmp_path / "steps.jsonl").read_text().splitlines()[0])
    ids = [data.train.source_ids_NL, data.train.target_ids_NL]
    padded = sum(int((part == 0).sum()) for part in ids)
    assert row["padding_share"] == pytest.approx(padded / sum(part.size for part in ids))
    assert 0 < row["padding_share"] < 0.5
