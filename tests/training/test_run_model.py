"""Which weights a run's model begins with, and what happens when they are not there."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.models.blip import BlipModels
from amad_bench.models.checkpoints import checkpoint_weights, save_tensors, save_weights
from amad_bench.models.fresh import require_fresh
from amad_bench.models.settings import settings_of
from amad_bench.plan.run_config import Start, UsedTokenizer
from amad_bench.runtime.errors import RunFailed, UserError
from amad_bench.training.run import train_run
from amad_bench.training.run_model import fresh_model, started_model, trained_model
from tests.training.conftest import pick, run_dir


def test_positions_are_berts_where_its_tokenizer_is_and_64_or_more_elsewhere(tiny_plan):
    positions, trained_here = BlipModels().positions, pick(tiny_plan(), "blip", "vqa", "teacher").config
    berts = trained_here.model_copy(update={"tokenizer": UsedTokenizer(folder="bert", hash="0")})
    assert positions(berts, 30) == 512
    assert positions(trained_here, 30) == 64
    assert positions(trained_here, 70) == 70
    run = pick(tiny_plan(), "blip", "vqa", "ce")
    model = fresh_model(run.config, load_task_data(run.config))
    assert model.config.text_config.max_position_embeddings == 64


def test_a_run_without_pretraining_starts_from_fresh_weights(tiny_plan):
    run = pick(tiny_plan(), "vlt5", "vqa", "teacher")
    model, head_map, start_weights = started_model(run, load_task_data(run.config))
    require_fresh(model)
    assert (head_map, start_weights) == ({}, {})


@pytest.mark.trap("pre-1")
def test_a_none_run_refuses_weights(tiny_plan):
    run = pick(tiny_plan(), "vlt5", "vqa", "teacher")
    data = load_task_data(run.config)
    for start, named in (
        ({"run_id": "vlt5-pretraining-x"}, "vlt5-pretraining-x"),
        ({"checkpoints": ["models/t5-base"], "hash": "0"}, "models/t5-base"),
    ):
        named_start = Start(cut="none", inherit_heads=None, **start)
        started = replace(run, config=run.config.model_copy(update={"start": named_start}))
        with pytest.raises(UserError, match=f"a `none` run starts from random weights, .* names {named}"):
            started_model(started, data)


def test_a_missing_pretraining_names_the_command_that_trains_it(tiny_plan):
    run = pick(tiny_plan(condition="text"), "vlt5", "vqa", "teacher")
    with pytest.raises(UserError, match=rf"pre-training .*`amad-bench run --run {run.prerequisites[0]}`$"):
        train_run(run, "cpu")
    assert not (run_dir(run.id) / "status.json").exists()


@pytest.mark.parametrize("status", ["diverged", "out_of_memory"])
def test_a_pretraining_that_failed_is_a_status(tiny_plan, status):
    run = pick(tiny_plan(condition="text"), "vlt5", "vqa", "teacher")
    source = run_dir(run.prerequisites[0])
    source.mkdir(parents=True)
    (source / "status.json").write_text(json.dumps({"status": status, "reason": "at step 3"}))
    with pytest.raises(
        RunFailed, match=rf"pre-training {run.prerequisites[0]}: {status}: at step 3"
    ) as caught:
        started_model(run, load_task_data(run.config))
    assert caught.value.status == "pretraining_failed"


@pytest.mark.parametrize("condition", ["text", "vl"])
@pytest.mark.parametrize("family", ["vlt5", "blip"])
def test_a_teacher_starts_from_its_pretraining_whatever_is_not_in_it_stays_fresh(
    tiny_plan, family, condition
):
    plan = tiny_plan(condition=condition)
    run = pick(plan, family, "vqa", "teacher")
    assert train_run(plan.run(run.prerequisites[0]), "cpu") == "done"
    data = load_task_data(run.config)
    model, head_map, start_weights = started_model(run, data)
    fresh = fresh_model(run.config, data).state_dict()
    stored = load_file(run_dir(run.prerequisites[0]) / "model.safetensors")
    state = model.state_dict()
    common = stored.keys() & state.keys()
    assert all(torch.equal(state[name], stored[name]) for name in common)
    left = {name for name in state.keys() - common if torch.equal(state[name], fresh[name])}
    seen = ("visual_embedding", "vision_model", "crossattention", "text_decoder.cls")
    assert {name for name in left if not any(part in name for part in seen)} <= {
        "encoder.embed_tokens.weight"
    }
    assert head_map
    assert all(heads == [[0], [1], [2], [3]] for heads in head_map.values())
    assert set(start_weights["heads"]) >= set(head_map)
    assert set(start_weights["heads"].values()) == {"4 of 4 channels"}
    assert start_weights["heads_from"] == "its run"


@pytest.mark.parametrize("family", ["vlt5", "blip"])
def test_settings_of_the_weights_are_those_of_every_model_that_loads_them(tiny_plan, family, tmp_path):
    """The start of a run, and its own weights when they are read back: for a student, or to be scored."""
    plan = tiny_plan(condition="vl")
    run = pick(plan, family, "vqa", "teacher")
    assert train_run(plan.run(run.prerequisites[0]), "cpu") == "done"
    path = run_dir(run.prerequisites[0]) / "model.safetensors"
    weights = checkpoint_weights(path)
    other = {name: 0.25 if "layer_norm" in name else "gelu_new" for name in weights.settings}
    other |= {"relative_attention_max_distance": 40} if family == "vlt5" else {}
    save_tensors(weights.tensors, path, weights.heads, other)
    data = load_task_data(run.config)
    model, _, start_weights = started_model(run, data)
    assert settings_of(model) == start_weights["settings"] == other
    epsilons = [getattr(m, "eps", getattr(m, "variance_epsilon", 0.25)) for m in model.modules()]
    assert set(epsilons) == {0.25}
    save_weights(model, tmp_path / "model.safetensors")
    again = trained_model(run.config, data, tmp_path / "model.safetensors")
    assert settings_of(again) == other
