"""BLIP large's shape, a sixteenth as wide: planned from a config, built, and cut to students of other sides.

ViT-L has 24 layers of 1,024 channels, 16 heads and 4,096 inner channels (salesforce/BLIP, models/blip.py,
create_vit), BERT base 12, 768, 12 and 3,072 (configs/med_config.json).
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertModel, ViTConfig, ViTModel

from amad_bench.models.blip.weights import blip_weights
from amad_bench.models.cost import flops_per_example
from amad_bench.models.fresh import require_fresh
from amad_bench.models.heads import head_partition
from amad_bench.models.start import load_start
from amad_bench.models.weights import Weights, own_tensors
from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import possible_plan
from amad_bench.plan.plan import Plan
from amad_bench.plan.run_config import RunConfig, Start
from tests.tiny_models import SITES, VOCABULARY, built, tiny_batch, without_labels

CONFIG = """
name: large
replicates: 1
datasets:
  scenes: {train_images: 12, validation_images: 4, test_images: 6}
models:
  blip:
    inputs: {kind: pixels, size: 16, patch: 8}
    teacher:
      vision: {layers: 24, width: 64, feed_forward: 256}
      text: {layers: 12, width: 48, feed_forward: 192, heads: [12]}
      dropout: 0.0
    students:
      inherit:
        vision: {layers: 4, width: 32, feed_forward: 100}
        text: {layers: 2, width: 24, feed_forward: 80, heads: [6]}
        dropout: 0.0
        cut: inherit
        inherit_heads: spread
      remap:
        vision: {layers: 4, width: 64, feed_forward: 256}
        text: {layers: 6, width: 48, feed_forward: 192, heads: [4]}
        dropout: 0.0
        cut: remap
heads: {teacher: [16], student: [8]}
losses: [{name: amad, variant: kl}]
sites: {blip: [vision.self]}
pretraining:
  teacher: [vl]
  student: [vl]
  training:
    blip: {vl: &training {examples: all, steps: 4, batch: 4, learning_rate: 1.0e-3, warmup: 0.1,
                          weight_decay: 0.01, clip: 1.0, evaluations: 1}}
tasks:
  - {family: blip, task: vqa, dataset: scenes, vocabulary: 100, decoding: {max_length: 8, beams: 1},
     teacher: *training, student: *training}
  - {family: blip, task: captioning, dataset: scenes, vocabulary: 100, decoding: {max_length: 8, beams: 1},
     teacher: *training, student: *training}
"""
TEXT_SITES = ("text.self", "text.cross", "decoder.self", "decoder.cross")


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    path = tmp_path / "large.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    return possible_plan(load_config(path))


def _config(plan: Plan, kind: str, task: str = "vqa", student: str = "") -> RunConfig:
    (found,) = [
        run.config
        for run in plan.runs
        if (run.kind, run.student_name) == (kind, student) and run.config.task in (task, "pretraining")
    ]
    return found


def _model(config: RunConfig, seed: int) -> Any:
    """Every parameter random, so that no swapped bias goes unseen."""
    model = built(config)
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def _weights(model: Any) -> Weights:
    return Weights(
        {name: t.clone() for name, t in own_tensors(model).items()}, head_partition(model), "there"
    )


@pytest.mark.parametrize("kind", ["blip-vqa", "blip-captioning"])
def test_a_planned_model_has_its_sides(plan: Plan, kind: str) -> None:
    model = built(_config(plan, "teacher", kind.removeprefix("blip-"))).eval()
    require_fresh(model)
    expected = {"vision.self": 16, **dict.fromkeys(TEXT_SITES, 12)}
    assert head_partition(model) == {site: expected[site] for site in SITES[kind]}
    shapes = {name: tuple(tensor.shape) for name, tensor in own_tensors(model).items()}
    assert shapes["vision_model.encoder.layers.23.mlp.fc1.weight"] == (256, 64)
    assert "vision_model.encoder.layers.24.mlp.fc1.weight" not in shapes
    decoder = "text_decoder.bert.encoder.layer.11"
    assert shapes[f"{decoder}.intermediate.dense.weight"] == (192, 48)
    assert f"{decoder.replace('11', '12')}.intermediate.dense.weight" not in shapes
    logits = model(**tiny_batch(kind)).logits
    assert logits.shape[2] == VOCABULARY
    assert logits.isfinite().all()
    assert len(model.generate(**without_labels(tiny_batch(kind)), max_new_tokens=3)) == 3


@pytest.mark.trap("blip-9")
def test_an_answer_decoder_attends_to_the_question_a_captioner_to_the_image(plan: Plan) -> None:
    """Widths of what keys and values read (salesforce/BLIP, models/blip_vqa.py and blip.py)."""
    key = "text_decoder.bert.encoder.layer.3.crossattention.self.key.weight"
    answerer = own_tensors(built(_config(plan, "teacher", "vqa")))
    assert answerer[key].shape == (48, 48)
    assert answerer["text_encoder.encoder.layer.3.crossattention.self.key.weight"].shape == (48, 64)
    assert own_tensors(built(_config(plan, "teacher", "captioning")))[key].shape == (48, 64)


def test_flops_follow_each_side(plan: Plan) -> None:
    """Twice the inner width of one side adds two products of width x inner width for each of its tokens."""
    config = _config(plan, "teacher")
    model, batch = config.model, tiny_batch("blip-vqa")

    def flops(**of_vision: Any) -> int:
        other = of_vision.pop("other_sides", model.other_sides)
        changed = model.model_copy(update={**of_vision, "other_sides": other})
        return flops_per_example(built(config.model_copy(update={"model": changed})), batch)

    text = model.side("text")
    wider = text.model_copy(update={"feed_forward": 2 * text.feed_forward})
    tokens = batch["input_ids"].shape[1] + batch["labels"].shape[1]  # of the question, of the answer
    assert flops(other_sides={"text": wider}) - flops() == 2 * 2 * 12 * tokens * 48 * 192
    assert flops(feed_forward=512) - flops() == 2 * 2 * 24 * (1 + 4) * 64 * 256


# heads that "spread" takes: every second; a head has four channels on both sides, in teacher and student
INHERITED = {
    "vision": {"layers": (5, 11, 17, 23), "heads": range(0, 16, 2), "width": 32, "feed_forward": 100},
    "text": {"layers": (5, 11), "heads": range(0, 12, 2), "width": 24, "feed_forward": 80},
}


def _naive_inherited(name: str, old: dict[str, Tensor]) -> Tensor:
    """A student's tensor by slices of its teacher's, written down from the names."""
    side = INHERITED["vision" if name.startswith("vision_model.") else "text"]
    width, inner = side["width"], side["feed_forward"]
    channels = [4 * head + channel for head in side["heads"] for channel in range(4)]
    parts = name.split(".")
    layer = next((index for index, part in enumerate(parts) if part in ("layer", "layers")), None)
    if layer is None:
        source = old[name]
        if "cls.predictions.bias" in name:
            return source
        if "patch_embedding.weight" in name:
            return source[:width]
        if "transform" in name and name.endswith("dense.weight"):
            return source[:width, :width]
        return source[..., :width]
    parts[layer + 1] = str(side["layers"][int(parts[layer + 1])])
    source, last = old[".".join(parts)], ".".join(parts[layer + 2 :])
    of_image = last.startswith(("crossattention.self.key", "crossattention.self.value"))
    read = 32 if of_image and name.startswith("text_encoder.") else width
    match last:
        case "self_attn.qkv.weight":
            return torch.cat([source[64 * part :][:64][channels][:, :width] for part in range(3)])
        case "self_attn.qkv.bias":
            return torch.cat([source[64 * part :][:64][channels] for part in range(3)])
        case "self_attn.projection.weight":
            return source[:width][:, channels]
        case "mlp.fc1.weight" | "intermediate.dense.weight":
            return source[:inner, :width]
        case "mlp.fc1.bias" | "intermediate.dense.bias":
            return source[:inner]
        case "mlp.fc2.weight" | "output.dense.weight":
            return source[:width, :inner]
    if ".self." in last:  # queries, keys and values of BERT
        return source[channels][:, :read] if last.endswith("weight") else source[channels]
    if last.endswith("output.dense.weight"):  # of an attention
        return source[:width][:, channels]
    return source[:width]


def test_inherited_sides_are_slices_of_the_teachers(plan: Plan) -> None:
    config = _config(plan, "student", student="inherit")
    teacher, student = _model(_config(plan, "teacher"), 1), _model(config, 2)
    weights = _weights(teacher)
    maps = load_start(student, weights, config)
    assert maps == {
        "vision.self": [[0], [2], [4], [6], [8], [10], [12], [14]],
        **{site: [[0], [2], [4], [6], [8], [10]] for site in TEXT_SITES},
    }
    assert head_partition(student) == {"vision.self": 8, **dict.fromkeys(TEXT_SITES, 6)}
    for name, tensor in own_tensors(student).items():
        assert torch.equal(tensor, _naive_inherited(name, dict(weights.tensors))), name
    assert student(**tiny_batch("blip-vqa")).logits.isfinite().all()


def test_remapped_sides_keep_all_channels_in_other_heads(plan: Plan) -> None:
    config = _config(plan, "student", student="remap")
    teacher, student = _model(_config(plan, "teacher"), 1), _model(config, 2)
    weights = _weights(teacher)
    maps = load_start(student, weights, config)
    assert maps == {
        "vision.self": [[2 * g, 2 * g + 1] for g in range(8)],
        **{site: [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 10, 11]] for site in TEXT_SITES},
    }
    assert head_partition(student) == {"vision.self": 8, **dict.fromkeys(TEXT_SITES, 4)}
    sources = {"layers": (5, 11, 17, 23), "layer": (1, 3, 5, 7, 9, 11)}
    for name, tensor in own_tensors(student).items():
        parts = name.split(".")
        for stack in sources.keys() & set(parts):
            number = parts.index(stack) + 1
            parts[number] = str(sources[stack][int(parts[number])])
        assert torch.equal(tensor, weights.tensors[".".join(parts)]), name


@pytest.mark.trap("blip-9")
def test_after_joint_pretraining_an_answer_decoders_keys_and_values_are_fresh(plan: Plan) -> None:
    """They read an image of 64 channels there, and a question of 48 here; all else arrives."""
    pretrain = next(run.config for run in plan.runs if run.kind == "pretrain")
    source = _model(pretrain, 1)
    assert head_partition(source) == {"vision.self": 16, **dict.fromkeys(TEXT_SITES, 12)}
    weights = Weights(source.task_weights(), head_partition(source), "there")
    config = _config(plan, "teacher")
    model, fresh = built(config), own_tensors(built(config))
    load_start(model, weights, config)
    unread = {
        f"text_decoder.bert.encoder.layer.{layer}.crossattention.self.{part}.weight"
        for layer in range(12)
        for part in ("key", "value")
    }
    for name, tensor in own_tensors(model).items():
        assert torch.equal(tensor, fresh[name] if name in unread else weights.tensors[name]), name
    captioner = built(_config(plan, "teacher", "captioning"))
    load_start(captioner, weights, _config(plan, "teacher", "captioning"))
    for name, tensor in own_tensors(captioner).items():
        assert torch.equal(tensor, weights.tensors[name]), name


@torch.no_grad()
def test_a_bert_and_a_vit_of_other_sizes_in_one_model(plan: Plan, tmp_path: Path) -> None:
    """Folders as save_pretrained writes them; the model computes what each of them does."""
    bert_sizes, vit_sizes = (
        dict(zip(("num_hidden_layers", "hidden_size", "intermediate_size"), sizes, strict=True))
        for sizes in ((12, 48, 192), (24, 64, 256))
    )
    bert = BertModel(BertConfig(**bert_sizes, num_attention_heads=12, vocab_size=VOCABULARY - 2)).eval()
    vit_config = ViTConfig(**vit_sizes, num_attention_heads=16, image_size=16, patch_size=8)
    vit = ViTModel(vit_config, add_pooling_layer=False).eval()
    generator = torch.Generator().manual_seed(3)
    for model, name in ((bert, "bert"), (vit, "vit")):
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        model.save_pretrained(tmp_path / name)
    weights = blip_weights([tmp_path / "bert", tmp_path / "vit"], "vqa", "text")
    assert weights.heads == {"vision.self": 16, "text.self": 12, "decoder.self": 12}
    pretrained = _config(plan, "teacher")
    start = Start(cut="none", inherit_heads=None)
    config = pretrained.model_copy(update={"pretraining": "text", "start": start})
    model = built(config, positions=512, settings=weights.settings).eval()
    load_start(model, weights, config)
    batch = tiny_batch("blip-vqa")
    ids, pixels = batch["input_ids"] % (VOCABULARY - 2), batch["pixel_values"]
    for actual, expected in (
        (model.vision_model(pixels), vit(pixels)),
        (model.text_encoder(ids), bert(ids)),
        (model.text_decoder.bert(ids, is_decoder=False), bert(ids)),
    ):
        assert torch.allclose(actual.last_hidden_state, expected.last_hidden_state, atol=2e-5)
