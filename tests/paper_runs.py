"""What the runs of the tiny configs/paper.yaml must show: columns, answers, and what they started from."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.standins import BASE, SMALL

T5_QUERY = "{}.block.{}.layer.0.SelfAttention.q.weight"
T5_NORM = "encoder.final_layer_norm.weight"
REGIONS = "encoder.visual_embedding.feat_embedding.0.weight"
WORDS = "shared.weight"
BERT_QUERY = "encoder.layer.1.attention.self.query.weight"
SPREAD = (0, 1, 3, 4, 6, 7, 9, 10)  # 8 of 12 heads, every 12/8th
SHARED = [[0, 1], [1, 2], [3, 4], [4, 5], [6, 7], [7, 8], [9, 10], [10, 11]]  # 12 heads cut into 8


def check_columns(runs: list[dict[str, Any]]) -> None:
    """Of the runs table: what each run started from, its heads and its cost."""
    for run in runs:
        assert run["flops_per_example"] > 0
        assert run["parameters"] > 0
        sites = json.loads(run["head_map"])
        if run["pretraining"] == "none":
            assert (run["start"], sites) == ("random", {})
        else:
            assert run["start"].startswith("models/")
            assert {len(heads) for heads in sites.values()} == {run["heads"]}
        if run["cut"] == "remap" and run["heads"] == 8:  # a head is made of one and a half
            assert sites["decoder.self"] == SHARED
        if run["cut"] == "inherit spread" and run["pretraining"] == "vl":
            assert sites["decoder.cross"] == [[head] for head in SPREAD]
    assert {run["cut"] for run in runs} == {"random", "as is", "remap", "inherit spread"}


def check_ranked_answers(runs: list[dict[str, Any]]) -> None:
    """BLIP's VQA can only say what is an answer in training."""
    for run in runs:
        if (run["family"], run["task"]) == ("blip", "vqa"):
            path = Path("results/runs") / run["run_id"] / "predictions.jsonl"
            lines = path.read_text(encoding="utf-8").splitlines()
            assert {json.loads(line)["prediction"] for line in lines} <= {"yes", "11", "12", "13", "a b", "c"}


def check_start(config: dict[str, Any], trained: dict[str, Tensor], models: Path) -> None:
    """Two steps of Adam move no weight by much more than twice the learning rate from where it was loaded."""
    expected = _expected_start(config, models)
    assert bool(expected) == (config["pretraining"] != "none")
    for name, tensor in expected.items():
        moved = (trained[name][: len(tensor)] - tensor).abs().max()
        assert moved <= 2.5 * config["training"]["learning_rate"], (config["start"], config["model"], name)


def _expected_start(config: dict[str, Any], models: Path) -> dict[str, Tensor]:
    """Some parameters by name, read without our readers; {} for random weights.

    Where a model's has more rows, they are its first.
    """
    if config["pretraining"] == "none":
        return {}
    if config["family"] == "blip":
        of_task = _blip if config["pretraining"] == "vl" else _bert_and_vit
        return of_task(config["task"], models)
    small = config["model"]["width"] == SMALL["width"]
    if config["pretraining"] == "text":
        shape, name = (SMALL, "t5-small") if small else (BASE, "t5-base")
        stored = load_file(models / name / "model.safetensors")
        return {key: stored[key] for key in (*_queries(shape), T5_NORM, WORDS)}
    parallel = torch.load(models / "vl-t5/Epoch30.pth", weights_only=True)
    stored = {key.removeprefix("module."): tensor for key, tensor in parallel.items()}
    if small:
        return _small_vlt5(stored)
    return {key: stored[key] for key in (*_queries(BASE), T5_NORM, REGIONS, WORDS)}


def _queries(shape: dict[str, int]) -> list[str]:
    """Of the first encoder layer and the last decoder layer."""
    return [T5_QUERY.format("encoder", 0), T5_QUERY.format("decoder", shape["layers"] - 1)]


def _small_vlt5(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """Leading channels; heads of two channels, spread over the teacher's; of its layers the last."""
    width, last = SMALL["width"], BASE["layers"] - 1
    rows = [2 * head + channel for head in SPREAD for channel in (0, 1)]
    return {
        T5_QUERY.format("encoder", 0): stored[T5_QUERY.format("encoder", last)][rows, :width],
        T5_NORM: stored[T5_NORM][:width],
        REGIONS: stored[REGIONS][:width],
        WORDS: stored[WORDS][:, :width],
    }


def _blip(task: str, models: Path) -> dict[str, Tensor]:
    stored = load_file(models / "blip-base" / task / "model.safetensors")
    decoder = f"text_decoder.bert.{BERT_QUERY}"
    names = [decoder, decoder.replace("attention", "crossattention", 1)]
    names += ["vision_model.embeddings.patch_embedding.weight"]
    names += [f"text_encoder.{BERT_QUERY}"] if task == "vqa" else []
    return {name: stored[name] for name in names}


def _bert_and_vit(task: str, models: Path) -> dict[str, Tensor]:
    bert = load_file(models / "bert-base-uncased/model.safetensors")
    vit = load_file(models / "vit-base-patch16-224/model.safetensors")
    stacks = ["text_decoder.bert", *(["text_encoder"] if task == "vqa" else [])]
    return {
        "vision_model.embeddings.patch_embedding.weight": vit[
            "vit.embeddings.patch_embeddings.projection.weight"
        ],
        **{f"{stack}.{BERT_QUERY}": bert[f"bert.{BERT_QUERY}"] for stack in stacks},
        **{
            f"{stack}.embeddings.word_embeddings.weight": bert["bert.embeddings.word_embeddings.weight"]
            for stack in stacks
        },
    }
