"""Pre-training: fixed validation batches, the best weights, learning; for both families and conditions."""

import json

import pytest
import torch

from amad_bench.data.pretraining.data import load_pretraining
from amad_bench.training import pretraining
from amad_bench.training.optim import parameter_groups
from amad_bench.training.pretraining import fresh_pretrainer, pretrain, validation_loss
from tests.training.conftest import pick

CPU = torch.device("cpu")
ALL = [(family, condition) for family in ("vlt5", "blip") for condition in ("text", "vl")]
PARTS = {
    ("vlt5", "text"): {"lm"},
    ("vlt5", "vl"): {"lm", "qa", "itm", "ground_caption", "refer"},
    ("blip", "text"): {"mlm"},
    ("blip", "vl"): {"itc", "itm", "lm"},
}


@pytest.fixture
def prepared(tiny_plan):
    """prepared(family, condition, **options of tiny_plan) -> config, data and a fresh model."""

    def prepare(family: str, condition: str, **options):
        run = pick(tiny_plan(condition=condition, **options), family, "pretraining", "pretrain")
        data = load_pretraining(run.config)
        return run.config, data, fresh_pretrainer(run.config, data)

    return prepare


@pytest.mark.parametrize(("family", "condition"), ALL)
def test_validation_is_the_same_at_every_call_and_draws_nothing(prepared, family, condition):
    config, data, model = prepared(family, condition)
    model.train()
    state = torch.get_rng_state()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    first, again = (validation_loss(model, data, config, CPU) for _ in range(2))
    assert first == again
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(("family", "condition"), ALL)
def test_pretraining_learns_and_logs_each_objective(prepared, tmp_path, family, condition):
    config, data, model = prepared(family, condition)
    training = config.training.model_copy(update={"steps": 40, "batch": 16, "learning_rate": 1e-2})
    config = config.model_copy(update={"training": training})
    before = validation_loss(model, data, config, CPU)
    path = tmp_path / "steps.jsonl"
    trained = pretrain(model, data, config, CPU, path, "test")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    steps = [row for row in rows if "loss" in row]
    assert [row["step"] for row in steps] == [1, 20, 40]
    own = {"step", "learning_rate", "loss", "gradient_norm"}
    assert set().union(*(row.keys() for row in steps)) == own | PARTS[family, condition]
    validations = {row["step"]: row["validation_loss"] for row in rows if "validation_loss" in row}
    assert list(validations) == [20, 40]
    after = validation_loss(model, data, config, CPU)
    assert after == min(validations.values()) == validations[trained.best_step]
    assert after < 0.9 * before


def test_the_weights_of_the_lowest_validation_loss_are_kept(prepared, tmp_path, monkeypatch):
    config, data, model = prepared("vlt5", "text")
    seen = []

    def validation(model, *_):
        seen.append({name: value.clone() for name, value in model.state_dict().items()})
        return [3.0, 1.0, 1.0, 2.0][len(seen) - 1]

    monkeypatch.setattr(pretraining, "validation_loss", validation)
    training = config.training.model_copy(update={"evaluations": 4})
    config = config.model_copy(update={"training": training})
    assert pretrain(model, data, config, CPU, tmp_path / "steps.jsonl", "test").best_step == 2
    assert all(torch.equal(value, seen[1][name]) for name, value in model.state_dict().items())
    assert not torch.equal(seen[1]["vlt5.shared.weight"], seen[2]["vlt5.shared.weight"])


def test_momentum_encoders_are_moved_by_the_model_alone(prepared, tmp_path):
    config, data, model = prepared("blip", "vl", momentum=True)
    slow = {name for name, _ in model.named_parameters() if name.startswith("momentum")}
    assert slow
    updated = {id(p) for group in parameter_groups([model], 0.01) for p in group["params"]}
    assert updated == {id(p) for name, p in model.named_parameters() if name not in slow}
    before = {name: value.clone() for name, value in model.named_parameters()}
    pretrain(model, data, config, CPU, tmp_path / "steps.jsonl", "test")
    moved = {name: (p - before[name]).abs().max().item() for name, p in model.named_parameters()}
    name = "text_encoder.encoder.layer.0.attention.self.query.weight"
    assert 0 < moved[f"momentum_matcher.{name}"] < 0.05 * moved[f"matcher.{name}"]  # 4 steps at .995
