"""Folders that save_pretrained wrote: read, loaded into our models, and compared with the stock ones."""

import json
import math
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers.models.blip.configuration_blip import BlipConfig
from transformers.models.blip.modeling_blip import (
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipForQuestionAnswering,
)

from amad_bench.losses import ce_loss
from amad_bench.models.blip.model import BlipAnswerer, BlipCaptioner, BlipMatcher
from amad_bench.models.blip.weights import blip_weights
from amad_bench.runtime.errors import UserError

VOCABULARY, PAD, EOS, BOS = 40, 0, 1, 3
TASKS = {
    "captioning": (BlipForConditionalGeneration, BlipCaptioner),
    "vqa": (BlipForQuestionAnswering, BlipAnswerer),
    "retrieval": (BlipForImageTextRetrieval, BlipMatcher),
}
SHAPE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2}


def config() -> BlipConfig:
    """Head counts that differ from each other and from the defaults of 12 and 8."""
    text = {
        **SHAPE,
        "num_attention_heads": 2,
        "vocab_size": VOCABULARY,
        "max_position_embeddings": 20,
        "bos_token_id": BOS,
        "eos_token_id": 2,  # as in published configs, where SEP ends a text
        "sep_token_id": EOS,
        "pad_token_id": PAD,
    }
    vision = {**SHAPE, "num_attention_heads": 4, "image_size": 16, "patch_size": 8}
    return BlipConfig(text_config=text, vision_config=vision)


def spread_out(model: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator), alpha=0.2)
    return model.eval()


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[type, Any], tuple[Path, Any]]:
    """saved(class, config) -> the folder and the model that was written there."""
    return partial(save, tmp_path)


def loaded(folder: Path, task: str) -> Any:
    """Our model of the folder's config with its weights, and its own tensors for what is tied."""
    ours = TASKS[task][1](config()).eval()
    missing, unexpected = ours.load_state_dict(blip_weights([folder], task, "vl").tensors, strict=False)
    assert all(".cls.predictions.decoder." in name for name in missing)
    assert unexpected == []
    return ours


def save(parent: Path, model_class: type, model_config: Any) -> tuple[Path, Any]:
    folder = parent / model_class.__name__
    model = spread_out(model_class(model_config))
    model.save_pretrained(folder)
    return folder, model


def text(rows: int, columns: int, seed: int = 0) -> Tensor:
    return torch.randint(4, VOCABULARY, (rows, columns), generator=torch.Generator().manual_seed(seed))


def pixels() -> Tensor:
    return torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(2))


GREEDY = {"max_new_tokens": 6, "do_sample": False, "num_beams": 1}


@pytest.mark.trap("blip-2")
@torch.no_grad()
def test_the_captioner_computes_what_the_stock_model_does(saved):
    folder, stock = saved(BlipForConditionalGeneration, config())
    ours = loaded(folder, "captioning")
    prompt, caption = text(1, 3).expand(3, -1), text(3, 5, seed=1)
    prompt_mask = torch.ones_like(prompt)
    caption[:, -1] = EOS
    whole = torch.cat([torch.full((3, 1), BOS), prompt, caption], dim=1)
    labels = whole.clone()
    labels[:, :4] = -100
    expected = stock(pixels(), whole, torch.ones_like(whole), labels)
    output = ours(pixels(), prompt, prompt_mask, caption)
    torch.testing.assert_close(ce_loss(output.logits, caption), expected.loss, atol=1e-5, rtol=0)
    torch.testing.assert_close(output.logits, expected.logits[:, 3:-1], atol=1e-5, rtol=0)
    # stock generation puts BOS in place of the first id and drops the last one
    given = torch.cat(
        [torch.zeros(3, 1, dtype=torch.long), prompt, torch.zeros(3, 1, dtype=torch.long)], dim=1
    )
    for beams in (1, 3):
        options = {**GREEDY, "num_beams": beams}
        wanted = stock.generate(pixels(), given, torch.ones_like(given), **options)[:, 4:]
        assert torch.equal(ours.generate(pixels(), prompt, prompt_mask, **options), wanted)


@pytest.mark.trap("blip-7")
@torch.no_grad()
def test_the_answerer_computes_what_the_stock_model_does(saved):
    """Labels in the stock way begin with BOS; it shifts them once, and so do ours."""
    folder, stock = saved(BlipForQuestionAnswering, config())
    ours = loaded(folder, "vqa")
    question, answer = text(3, 6), text(3, 4, seed=1)
    answer[:, -1] = EOS
    mask = torch.ones_like(question)
    with_bos = torch.cat([torch.full((3, 1), BOS), answer], dim=1)
    expected = stock(question, pixels(), attention_mask=mask, labels=with_bos)
    logits = ours(pixels(), question, mask, answer).logits
    torch.testing.assert_close(ce_loss(logits, answer), expected.loss, atol=1e-5, rtol=0)
    wanted = stock.generate(question, pixels(), mask, **GREEDY)[:, 1:]
    assert torch.equal(ours.generate(pixels(), question, mask, **GREEDY), wanted)


@torch.no_grad()
def test_the_matcher_computes_what_the_stock_model_does(saved):
    folder, stock = saved(BlipForImageTextRetrieval, config())
    ours, ids = loaded(folder, "retrieval"), text(3, 6)
    mask = torch.ones_like(ids)
    torch.testing.assert_close(
        ours(pixels(), ids, mask), stock(ids, pixels(), attention_mask=mask).itm_score, atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("task", TASKS)
def test_head_counts_are_those_of_config_json(saved, task):
    """Text and vision each their own; BLIP's text config would have 8 by default."""
    folder, _ = saved(TASKS[task][0], config())
    heads = blip_weights([folder], task, "vl").heads
    assert heads.pop("vision.self") == 4
    stacks = {"captioning": ["decoder"], "vqa": ["text", "decoder"], "retrieval": ["text"]}[task]
    assert heads == {f"{stack}.{kind}": 2 for stack in stacks for kind in ("self", "cross")}


def test_the_folder_that_fits_the_task_is_taken(saved):
    folders = [saved(stock, config())[0] for stock, _ in TASKS.values()]
    for task, folder in zip(TASKS, folders, strict=True):
        assert blip_weights(folders, task, "vl").where == str(folder)
    with pytest.raises(UserError, match=r"exactly one folder of BLIP for vqa .*found 0"):
        blip_weights([folders[0]], "vqa", "vl")
    with pytest.raises(UserError, match=r"exactly one folder of BLIP for vqa .*found 2"):
        blip_weights([folders[1], shutil.copytree(folders[1], folders[1].parent / "copy")], "vqa", "vl")


def edit_config(folder: Path, change: Callable[[dict], Any]) -> None:
    path = folder / "config.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def edit_tensors(folder: Path, change: Callable[[dict], Any]) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def refused(folder: Path, task: str = "vqa", condition: str = "vl") -> str:
    with pytest.raises(UserError) as error:
        blip_weights([folder], task, condition)
    message = str(error.value)
    assert str(folder) in message
    assert "\n" not in message
    return message


@pytest.mark.trap("heads-10")
@pytest.mark.parametrize("side", ["text", "vision"])
def test_a_config_without_a_head_count_is_refused(saved, side):
    """transformers would silently take its default, 8 for text where BERT has 12."""
    folder, _ = saved(BlipForQuestionAnswering, config())
    edit_config(folder, lambda content: content[f"{side}_config"].pop("num_attention_heads"))
    assert f"config.json: {side}_config.num_attention_heads" in refused(folder)


@pytest.mark.trap("heads-9")
@pytest.mark.parametrize(
    ("side", "width", "layers", "heads"),
    [("text", 768, 12, 12), ("vision", 768, 12, 12), ("vision", 1024, 24, 16)],
)
def test_a_wrong_head_count_of_a_known_model_is_refused(saved, side, width, layers, heads):
    """Its tensors would load without a complaint and compute something else."""
    folder, _ = saved(BlipForQuestionAnswering, config())
    wrong = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 8}
    edit_config(folder, lambda content: content[f"{side}_config"].update(wrong))
    message = refused(folder)
    assert f"{side}_config.num_attention_heads is 8" in message
    assert f"has {heads}" in message


def test_wrong_tensors_are_named(saved):
    folder, _ = saved(BlipForQuestionAnswering, config())
    name = "text_encoder.encoder.layer.0.attention.self.query.weight"

    def change(tensors: dict[str, Tensor]) -> None:
        tensors["text_encoder.extra"] = tensors.pop(name)
        tensors["vision_model.post_layernorm.bias"] = torch.zeros(3)

    edit_tensors(folder, change)
    message = refused(folder)
    assert f": missing {name}; unexpected text_encoder.extra; of another shape " in message
    assert "vision_model.post_layernorm.bias is (3,), expected (16,); take a complete folder" in message


def test_absent_and_damaged_files_are_named(saved, tmp_path):
    assert "no such folder" in refused(tmp_path / "nowhere")
    folder, _ = saved(BlipForQuestionAnswering, config())
    (folder / "model.safetensors").write_bytes(b"damaged")
    assert "model.safetensors" in refused(folder)
    (folder / "model.safetensors").unlink()
    assert "no weights; expected model.safetensors or pytorch_model.bin, or their shards" in refused(folder)
    (folder / "config.json").write_text("{")
    assert "config.json" in refused(folder)


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable, tuple]:
        return Path.touch, (self.path,)


def test_a_pickle_is_read_without_running_it(saved):
    """Also with the second names and the positions' numbers that older versions stored."""
    folder, stock = saved(BlipForQuestionAnswering, config())
    tensors = blip_weights([folder], "vqa", "vl").tensors
    state = {**stock.state_dict(), "text_encoder.embeddings.position_ids": torch.arange(20)[None]}
    del state["text_decoder.bert.embeddings.word_embeddings.weight"]  # only the tied name is left
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    again = blip_weights([folder], "vqa", "vl").tensors
    assert set(again) == set(tensors)
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)
    torch.save({**state, "extra": Touch(folder / "touched")}, folder / "pytorch_model.bin")
    assert "pytorch_model.bin" in refused(folder)
    assert not (folder / "touched").exists()


def test_half_precision_becomes_float32(saved):
    folder, _ = saved(BlipForQuestionAnswering, config())
    edit_tensors(folder, lambda tensors: tensors.update({k: v.half() for k, v in tensors.items()}))
    assert {tensor.dtype for tensor in blip_weights([folder], "vqa", "vl").tensors.values()} == {
        torch.float32
    }


@pytest.mark.parametrize("value", ["x", ["hidden_size"], 5, None])
@pytest.mark.parametrize("side", ["text", "vision"])
def test_a_side_without_sizes_is_refused(saved, side, value):
    folder, _ = saved(BlipForQuestionAnswering, config())
    edit_config(folder, lambda content: content.update({f"{side}_config": value}))
    assert f"config.json: {side}_config is no mapping of sizes" in refused(folder)


HEAD = "text_decoder.cls.predictions"


@pytest.mark.parametrize(
    ("part", "first"),
    [("weight", "bert.embeddings.word_embeddings.weight"), ("bias", "cls.predictions.bias")],
)
def test_an_lm_head_of_its_own_is_refused(saved, part, first):
    """BLIP ties it, so that one of the two would be lost; the same values twice are the same weights."""
    folder, stock = saved(BlipForQuestionAnswering, config())
    name = f"{HEAD}.decoder.{part}"
    own = stock.state_dict()[name].clone()
    edit_tensors(folder, lambda tensors: tensors.update({name: own}))
    assert name not in blip_weights([folder], "vqa", "vl").tensors
    own[-1] += 1
    edit_tensors(folder, lambda tensors: tensors.update({name: own}))
    assert f"{name} differs from {first}, to which BLIP ties it" in refused(folder)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_tensors_that_are_not_finite_are_named(saved, value):
    """Also where a tied one is there twice: NaN differs from itself."""
    folder, _ = saved(BlipForQuestionAnswering, config())
    name = f"{HEAD}.bias"

    def change(tensors: dict[str, Tensor]) -> None:
        tensors[name][3] = value
        tensors[f"{HEAD}.decoder.bias"] = tensors[name].clone()

    edit_tensors(folder, change)
    message = refused(folder)
    assert "is not finite, it holds NaN or infinity" in message
    assert HEAD in message


def test_pickled_code_is_named_as_that(saved):
    folder, stock = saved(BlipForQuestionAnswering, config())
    (folder / "model.safetensors").unlink()
    torch.save(stock, folder / "pytorch_model.bin")
    message = refused(folder)
    assert message.endswith(
        "pytorch_model.bin: holds pickled code, which is not read; save the model's state dict alone"
    )
    for content in (b"\x80\x02damaged", b"<html>"):
        (folder / "pytorch_model.bin").write_bytes(content)
        message = refused(folder)
        assert "damaged, or not written by PyTorch" in message
        assert "weights_only" not in message
    torch.save([torch.ones(1)], folder / "pytorch_model.bin")
    assert "not a state dict" in refused(folder)
