"""Folders as transformers saves them: shards, what says which model it is, and what is broken."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertModel,
    ViTConfig,
    ViTForImageClassification,
    ViTForMaskedImageModeling,
    ViTModel,
)
from transformers.models.blip.modeling_blip import BlipForQuestionAnswering
from transformers.models.t5.modeling_t5 import T5ForConditionalGeneration

from amad_bench.models.blip.weights import blip_weights
from amad_bench.models.folders import folder_tensors
from amad_bench.models.vlt5.weights import t5_weights
from amad_bench.models.weights import Weights
from amad_bench.runtime.errors import UserError
from tests.models.blip.test_text_weights import bert_config, vit_config
from tests.models.blip.test_weights import config, edit_config, edit_tensors, save
from tests.models.test_config_fields import STOCK

T5 = STOCK["t5"].config
QUERY = "encoder.block.0.layer.0.SelfAttention.q.weight"
READ: dict[str, tuple[type, Callable[[], Any], Callable[[Path], Weights]]] = {
    "t5": (T5ForConditionalGeneration, T5, t5_weights),
    "bert": (BertModel, bert_config, lambda folder: blip_weights([folder], "vqa", "text")),
    "blip": (BlipForQuestionAnswering, config, lambda folder: blip_weights([folder], "vqa", "vl")),
}


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[type, Any], tuple[Path, Any]]:
    """saved(class, config) -> the folder and the model that was written there."""
    return partial(save, tmp_path)


def _equal(one: Weights, other: Weights) -> None:
    assert set(one.tensors) == set(other.tensors)
    assert all(torch.equal(one.tensors[name], tensor) for name, tensor in other.tensors.items())


@pytest.mark.parametrize("kind", READ)
def test_shards_are_read_as_one(saved, kind: str) -> None:
    """As save_pretrained cuts them, and as torch.save did before."""
    model_class, make, read = READ[kind]
    folder, model = saved(model_class, make())
    whole = read(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="4KB")
    shards = sorted(path.name for path in folder.glob("model-*-of-*.safetensors"))
    assert len(shards) > 1
    assert not (folder / "model.safetensors").exists()
    _equal(read(folder), whole)

    places = {}
    for number, shard in enumerate(shards):
        tensors = load_file(folder / shard)
        torch.save(tensors, folder / f"pytorch_model-{number}.bin")
        places |= dict.fromkeys(tensors, f"pytorch_model-{number}.bin")
        (folder / shard).unlink()
    (folder / "model.safetensors.index.json").unlink()
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    _equal(read(folder), whole)


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    save_file({"a": torch.ones(2), "b": torch.ones(3)}, tmp_path / "one.safetensors")
    save_file({"c": torch.zeros(2), "b": torch.zeros(3)}, tmp_path / "two.safetensors")
    _index(tmp_path, {"a": "one.safetensors", "b": "two.safetensors", "c": "two.safetensors"})
    return tmp_path


def _index(folder: Path, weight_map: Any) -> None:
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))


def test_a_tensor_comes_from_the_file_that_the_index_names(shards: Path) -> None:
    tensors = folder_tensors(shards, "a model")
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {
        "a": [1, 1],
        "b": [0, 0, 0],
        "c": [0, 0],
    }


@pytest.mark.parametrize(
    ("weight_map", "message"),
    [
        (None, "index.json: no weight_map from tensors to files of this folder"),
        ({}, "index.json: no weight_map"),
        ({"a": "../one.safetensors"}, "index.json: no weight_map from tensors to files of this folder"),
        ({"a": 1}, "index.json: no weight_map"),
        ({"a": "three.safetensors"}, "three.safetensors of model.safetensors.index.json not there; add what"),
        ({"a": "two.safetensors"}, "index.json: a not in the file it names; restore the folder"),
    ],
)
def test_a_wrong_index_is_named(shards: Path, weight_map: Any, message: str) -> None:
    _index(shards, weight_map)
    assert message in _refusal(folder_tensors, shards, "a model")


def test_an_index_that_is_no_json_and_a_damaged_shard_are_named(shards: Path) -> None:
    (shards / "two.safetensors").write_bytes(b"damaged")
    assert "a model cannot be loaded from it" in _refusal(folder_tensors, shards, "a model")
    (shards / "model.safetensors.index.json").write_text("{")
    assert "model.safetensors.index.json: broken JSON in line 1" in _refusal(
        folder_tensors, shards, "a model"
    )


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin", "config.json", "shard"])
def test_a_git_lfs_pointer_is_named(saved, kind: str, name: str) -> None:
    model_class, make, read = READ[kind]
    folder, _ = saved(model_class, make())
    if name in ("pytorch_model.bin", "shard"):
        (folder / "model.safetensors").unlink()
    if name == "shard":
        _index(folder, {"a": "shard"})
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    assert f"{name}: a Git LFS pointer, not the file itself; fetch that with `git lfs pull`" in _refusal(
        read, folder
    )


@pytest.mark.parametrize("kind", READ)
def test_absent_weights_are_named_without_an_errno(saved, kind: str) -> None:
    model_class, make, read = READ[kind]
    folder, _ = saved(model_class, make())
    (folder / "model.safetensors").unlink()
    message = _refusal(read, folder)
    assert message.endswith(
        ": no weights; expected model.safetensors or pytorch_model.bin, or their shards with a .index.json "
        "file: add them"
    )


@pytest.mark.parametrize("kind", READ)
def test_a_config_without_model_type_is_known_by_its_architecture(saved, kind: str) -> None:
    model_class, make, read = READ[kind]
    folder, _ = saved(model_class, make())
    whole = read(folder)
    edit_config(folder, lambda content: content.pop("model_type"))
    _equal(read(folder), whole)


def test_the_first_t5s_are_known_by_their_class(saved) -> None:
    """From a time of configs without model_type."""
    folder, _ = saved(T5ForConditionalGeneration, T5())
    whole = t5_weights(folder)
    edit_config(folder, lambda content: content.update(architectures=["T5WithLMHeadModel"], model_type=None))
    _equal(t5_weights(folder), whole)


def test_a_config_that_says_nothing_of_its_kind_is_named(saved) -> None:
    folder, _ = saved(BertModel, bert_config())
    edit_config(folder, lambda content: [content.pop(key) for key in ("model_type", "architectures")])
    assert "its config.json having model_type: bert; found 0" in _refusal(READ["bert"][2], folder)


def test_another_kind_of_t5_is_named(saved) -> None:
    folder, _ = saved(T5ForConditionalGeneration, T5())
    edit_config(folder, lambda content: content.update(model_type="umt5"))
    assert "config.json: a model of type umt5, VL-T5 starts from t5" in _refusal(t5_weights, folder)


@pytest.mark.parametrize(
    ("model_class", "make", "heads"),
    [
        (BertForSequenceClassification, bert_config, ["classifier.bias", "classifier.weight"]),
        (BertForQuestionAnswering, bert_config, ["qa_outputs.bias", "qa_outputs.weight"]),
        (ViTForImageClassification, vit_config, ["classifier.bias", "classifier.weight"]),
        (
            ViTForMaskedImageModeling,
            lambda: ViTConfig(**vit_config().to_dict() | {"encoder_stride": 8}),
            ["decoder.0.bias", "decoder.0.weight", "vit.embeddings.mask_token"],
        ),
    ],
)
def test_heads_of_tasks_are_left_out_of_bert_and_vit_alike(saved, model_class, make, heads) -> None:
    """And named: `doctor` and the run's row say what was not taken."""
    folder, _ = saved(model_class, make())
    base = BertModel if make is bert_config else ViTModel
    base.from_pretrained(folder, local_files_only=True).save_pretrained(folder.parent / "plain")
    beside = [] if base is BertModel else [saved(BertModel, bert_config())[0]]
    weights = blip_weights([folder, *beside], "vqa", "text")
    left_out = sorted(name.removeprefix(f"{folder.name}: ") for name in weights.left_out)
    assert [name for name in left_out if "pooler." not in name] == heads
    _equal(weights, blip_weights([folder.parent / "plain", *beside], "vqa", "text"))


def _refusal(call: Callable[..., object], *arguments: Any) -> str:
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("architecture", ["ViTMSNModel", "ViTMAEForPreTraining", "BertGenerationEncoder"])
def test_a_class_that_only_begins_alike_is_another_model(saved, architecture: str) -> None:
    folder, _ = saved(BertModel, bert_config())
    edit_config(folder, lambda content: content.update(architectures=[architecture], model_type=None))
    assert f"{folder} ({architecture})" in _refusal(READ["bert"][2], folder)


def test_another_t5_is_known_by_its_class(saved) -> None:
    folder, _ = saved(T5ForConditionalGeneration, T5())
    edit_config(
        folder, lambda content: content.update(architectures=["MT5ForConditionalGeneration"], model_type=None)
    )
    assert "a model of type MT5ForConditionalGeneration" in _refusal(t5_weights, folder)


def test_whole_numbers_are_no_weights(saved) -> None:
    folder, _ = saved(T5ForConditionalGeneration, T5())
    edit_tensors(folder, lambda tensors: tensors.update({QUERY: tensors[QUERY].to(torch.int8)}))
    assert f"{QUERY}: whole numbers, as of quantised weights" in _refusal(t5_weights, folder)


def test_a_tensor_under_two_names_is_named(saved) -> None:
    folder, _ = saved(BertModel, bert_config())
    name = "embeddings.word_embeddings.weight"
    edit_tensors(folder, lambda tensors: tensors.update({f"bert.{name}": tensors[name] + 1}))
    assert f"bert.{name} is there twice, under two names" in _refusal(READ["bert"][2], folder)


@pytest.mark.parametrize(
    ("kind", "field", "value", "least"),
    [
        ("bert", "type_vocab_size", 0, "1"),
        ("bert", "layer_norm_eps", -1.0, "1e-38"),
        ("t5", "layer_norm_epsilon", 0.0, "1e-38"),
        ("t5", "relative_attention_max_distance", 16, "17"),
    ],
)
def test_values_with_which_transformers_would_fail_or_compute_nan(saved, kind, field, value, least) -> None:
    model_class, make, read = READ[kind]
    folder, _ = saved(model_class, make())
    edit_config(folder, lambda content: content.update({field: value}))
    assert f"config.json: {field} is {value}, expected at least {least}; restore it" in _refusal(read, folder)


def test_a_t5_that_was_trained_for_answers_in_a_text_is_a_t5(saved) -> None:
    folder, _ = saved(T5ForConditionalGeneration, T5())
    whole = t5_weights(folder)
    edit_tensors(folder, lambda tensors: tensors.update({"qa_outputs.weight": torch.ones(2, 16)}))
    weights = t5_weights(folder)
    _equal(weights, whole)
    assert weights.left_out == ["qa_outputs.weight"]
