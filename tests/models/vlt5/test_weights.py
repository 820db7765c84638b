"""Weights from elsewhere: official VL-T5 files and T5 folders, read strictly or refused in one line."""

import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers.models.t5.configuration_t5 import T5Config
from transformers.models.t5.modeling_t5 import T5ForConditionalGeneration

from amad_bench.models.start import load_start
from amad_bench.models.vlt5.model import VLT5, VLT5Config
from amad_bench.models.vlt5.weights import official_weights, t5_weights
from amad_bench.runtime.errors import UserError
from tests.tiny_models import run_config, shaped_model, tiny_batch

ENCODER_BIAS = "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
DECODER_BIAS = ENCODER_BIAS.replace("encoder", "decoder")
QUERY = "encoder.block.0.layer.0.SelfAttention.q.weight"
OBSOLETE = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
SHAPE = {"vocab_size": 40, "d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 2, "num_heads": 4}
SITES = ("encoder.self", "decoder.self", "decoder.cross")


def _config(**changes):
    return VLT5Config(**{**SHAPE, "feat_dim": 12, "decoder_start_token_id": 0, **changes})


def _official(seed=0):
    torch.manual_seed(seed)
    return VLT5(_config())


def _saved(path, **changes):
    """The tiny model's weights under all names, as a .pth; a change of None takes the name out."""
    state = {**_official().state_dict(), **changes}
    torch.save({name: tensor for name, tensor in state.items() if tensor is not None}, path)
    return path


def _refusal(call, *arguments, **options):
    with pytest.raises(UserError) as caught:
        call(*arguments, **options)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def test_official_weights_have_tied_tensors_once_and_heads_by_site(tmp_path):
    weights = official_weights(_saved(tmp_path / "Epoch30.pth"))
    assert weights.heads == dict.fromkeys(SITES, 4)
    assert weights.where == str(tmp_path / "Epoch30.pth")
    assert set(weights.tensors) == {name for name, _ in _official().named_parameters()}
    assert torch.equal(weights.tensors["shared.weight"], _official().shared.weight)


@pytest.mark.parametrize("absent", ["lm_head.weight", "shared.weight"])
def test_a_tied_tensor_under_one_of_its_names_is_enough(tmp_path, absent):
    model = VLT5.from_official(_saved(tmp_path / "w.pth", **{absent: None}), _config())
    assert torch.equal(model.shared.weight, _official().shared.weight)
    assert model.lm_head.weight is model.shared.weight


def test_tied_names_that_differ_are_refused(tmp_path):
    path = _saved(tmp_path / "w.pth", **{"lm_head.weight": torch.zeros(40, 16)})
    assert "lm_head.weight must be equal to shared.weight" in _refusal(official_weights, path)


def test_every_missing_and_unexpected_key_is_named(tmp_path):
    gone = ["encoder.visual_embedding.img_order_embedding.weight", "decoder.final_layer_norm.weight"]
    added = {
        "answer_head.0.weight": torch.zeros(2),
        "encoder.visual_embedding.layer_norm.weight": torch.ones(16),
    }
    path = _saved(tmp_path / "w.pth", **dict.fromkeys(gone), **added)
    message = _refusal(VLT5.from_official, path, _config())
    missing, unexpected = message.split("; unexpected ")
    assert all(name in missing for name in gone)
    assert all(name in unexpected for name in added)
    assert "w.pth" in missing


def test_a_wrong_shape_names_the_parameter(tmp_path):
    path = _saved(tmp_path / "w.pth")
    message = _refusal(VLT5.from_official, path, _config(feat_dim=13))
    assert "encoder.visual_embedding.feat_embedding.0.weight is (16, 12), expected (16, 13)" in message
    message = _refusal(VLT5.from_official, path, _config(vocab_size=39))
    assert "shared.weight is (40, 16), expected (39, 16)" in message


@pytest.mark.trap("heads-4")
def test_another_head_count_is_refused_where_only_the_bias_table_shows_it(tmp_path):
    message = _refusal(VLT5.from_official, _saved(tmp_path / "w.pth"), _config(num_heads=2, d_kv=8))
    assert "weights of 4 heads, the config says 2" in message


def test_names_of_the_official_loader_old_and_in_parallel(tmp_path):
    """Its load_checkpoint takes "module." and "vis_encoder." away; T5 leaves an unused bias table out."""
    old = {
        "module." + name.replace("encoder.visual", "vis_encoder.visual"): tensor
        for name, tensor in _official().state_dict().items()
    }
    torch.save({**old, "module." + OBSOLETE: torch.ones(32, 4)}, tmp_path / "w.pth")
    found = VLT5.from_official(tmp_path / "w.pth", _config()).state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in _official().state_dict().items())
    torch.save({**old, **_official().state_dict()}, tmp_path / "w.pth")
    assert "is there twice" in _refusal(official_weights, tmp_path / "w.pth")


@pytest.mark.parametrize("suffix", [".pth", ".npz", ".safetensors"])
def test_a_broken_or_absent_file_is_one_line(tmp_path, suffix):
    path = tmp_path / f"w{suffix}"
    assert "no such file" in _refusal(official_weights, path)
    for content in (b"", b"\x80\x02not a file", b"PK\x03\x04"):
        path.write_bytes(content)
        assert "cannot be read as tensors by name" in _refusal(official_weights, path)


class _Harmful:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_a_pickle_never_runs_code(tmp_path):
    torch.save({"shared.weight": _Harmful(tmp_path / "made")}, tmp_path / "w.pth")
    message = _refusal(official_weights, tmp_path / "w.pth")
    assert message.endswith("w.pth: holds pickled code, which is not read; save the model's state dict alone")
    torch.save(_official(), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text("{}")
    assert "pytorch_model.bin: holds pickled code, which is not read" in _refusal(t5_weights, tmp_path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("suffix", [".pth", ".npz", ".safetensors"])
def test_a_folder_is_no_official_file(tmp_path, suffix):
    (tmp_path / f"w{suffix}").mkdir()
    assert f"w{suffix}: a folder; official weights are one file" in _refusal(
        official_weights, tmp_path / f"w{suffix}"
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_tensors_that_are_not_finite_are_named(tmp_path, value):
    """Also of a tied one, which is in the file under all its names: NaN differs from itself."""
    path = _saved(tmp_path / "w.pth", **{QUERY: torch.full((16, 16), value)})
    assert f"w.pth: {QUERY} is not finite" in _refusal(official_weights, path)
    table = torch.ones(40, 16)
    table[39, 15] = value
    tied = ("shared", "lm_head", "encoder.embed_tokens", "decoder.embed_tokens")
    path = _saved(tmp_path / "w.pth", **{f"{name}.weight": table for name in tied})
    assert "weight is not finite, it holds NaN or infinity" in _refusal(official_weights, path)


def test_what_is_no_state_dict_is_refused(tmp_path):
    torch.save({3: torch.ones(2)}, tmp_path / "w.pth")
    assert "cannot be read as tensors by name" in _refusal(official_weights, tmp_path / "w.pth")
    torch.save({"model": _official().state_dict(), "epoch": 3}, tmp_path / "w.pth")
    assert "cannot be read as tensors by name" in _refusal(official_weights, tmp_path / "w.pth")
    torch.save({"vit.weight": torch.ones(2)}, tmp_path / "w.pth")
    assert "not a T5's weights: missing shared.weight" in _refusal(official_weights, tmp_path / "w.pth")
    assert "one of .pth, .npz, .safetensors" in _refusal(official_weights, tmp_path / "w.ckpt")


@pytest.mark.trap("heads-8")
@pytest.mark.parametrize(
    ("name", "width", "layers", "heads"),
    [("t5-small", 512, 6, 8), ("t5-base", 768, 12, 12), ("t5-large", 1024, 24, 16)],
)
def test_known_models_have_known_head_counts(tmp_path, name, width, layers, heads):
    def save(columns, inner):
        tensors = {f"encoder.block.{layer}.norm": np.ones(1) for layer in range(layers)}
        tensors |= {"shared.weight": np.ones((2, width)), QUERY: np.ones((inner, width))}
        tensors |= {bias: np.ones((32, columns)) for bias in (ENCODER_BIAS, DECODER_BIAS)}
        np.savez(tmp_path / "w.npz", **tensors)
        return tmp_path / "w.npz"

    assert official_weights(save(heads, heads * 64)).heads == dict.fromkeys(SITES, heads)
    assert f"expected {heads} in both ({name})" in _refusal(official_weights, save(4, heads * 64))
    assert official_weights(save(4, 4 * 64)).heads == dict.fromkeys(SITES, 4)  # of another inner width


@pytest.mark.parametrize(
    ("width", "layers", "heads", "t5"), [(512, 6, 8, 60_506_624), (768, 12, 12, 222_903_552)]
)
def test_sizes_of_the_published_models(width, layers, heads, t5):
    """T5's published parameter counts, 72 rows more, and the visual embedding by hand."""
    with torch.device("meta"):
        model = VLT5(
            VLT5Config(vocab_size=32200, d_model=width, d_ff=4 * width, num_layers=layers, num_heads=heads)
        )
    visual = (2048 + 1) * width + (5 + 1) * width + 2 * width + 2 * width
    assert sum(weight.numel() for weight in model.parameters()) == t5 + 72 * width + visual


def _t5_folder(folder, **changes):
    torch.manual_seed(0)
    t5 = T5ForConditionalGeneration(T5Config(**{**SHAPE, "decoder_start_token_id": 0, **changes})).eval()
    with torch.no_grad():  # fresh weights have every norm at 1
        for name, weight in t5.named_parameters():
            if "norm" in name:
                weight.add_(0.3 * torch.randn_like(weight))
    t5.save_pretrained(folder)
    return t5


def _started(folder):
    """A VLT5 that started from the folder."""
    model, config = shaped_model("vlt5"), run_config("vlt5", "text")
    load_start(model, t5_weights(folder), config)
    return model


def test_a_t5_folder_computes_what_t5_computes_where_no_region_is_seen(tmp_path):
    t5 = _t5_folder(tmp_path)
    model = _started(tmp_path).eval()
    batch = tiny_batch("vlt5")
    batch["vis_attention_mask"] = torch.zeros(3, 3, dtype=torch.long)
    text = {name: batch[name] for name in ("input_ids", "attention_mask", "labels")}
    with torch.no_grad():
        torch.testing.assert_close(model(**batch).logits, t5(**text).logits, atol=1e-5, rtol=0)


def test_t5_weights_are_those_of_the_folder_without_a_visual_embedding(tmp_path):
    t5 = _t5_folder(tmp_path)
    weights = t5_weights(tmp_path)
    assert weights.heads == dict.fromkeys(SITES, 4)
    assert set(weights.tensors) == {name for name, _ in t5.named_parameters()}
    assert not any("visual_embedding" in name for name in weights.tensors)
    assert torch.equal(weights.tensors["shared.weight"], t5.shared.weight)


def test_t5_folder_as_older_transformers_saved_it(tmp_path):
    """pytorch_model.bin with tied tensors under all names and the unused bias table, as t5-base has it."""
    t5 = _t5_folder(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({**t5.state_dict(), OBSOLETE: torch.ones(32, 4)}, tmp_path / "pytorch_model.bin")
    found = _started(tmp_path).state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in t5.state_dict().items())


def test_t5_in_half_precision_is_read_as_float32(tmp_path):
    t5 = _t5_folder(tmp_path)
    halves = {name: tensor.half() for name, tensor in load_file(tmp_path / "model.safetensors").items()}
    save_file(halves, tmp_path / "model.safetensors")
    assert all(tensor.dtype == torch.float32 for tensor in t5_weights(tmp_path).tensors.values())
    torch.testing.assert_close(_started(tmp_path).shared.weight, t5.shared.weight, atol=2e-3, rtol=0)


def _edited(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_t5_folders_that_do_not_fit_are_one_line(tmp_path):
    assert "no such folder" in _refusal(t5_weights, tmp_path / "nowhere")
    assert "config.json: no such file" in _refusal(t5_weights, tmp_path)
    _t5_folder(tmp_path)
    _edited(tmp_path, num_heads=2, d_kv=8)
    assert "config.json says 2 heads of 8 channels, the weights have 4 heads in 16" in _refusal(
        t5_weights, tmp_path
    )
    _edited(tmp_path, num_heads=4, d_kv=4)
    (tmp_path / "model.safetensors").write_bytes(b"broken")
    assert "a T5 model cannot be loaded from it" in _refusal(t5_weights, tmp_path)
    (tmp_path / "model.safetensors").unlink()
    message = _refusal(t5_weights, tmp_path)
    assert "no weights; expected model.safetensors or pytorch_model.bin, or their shards" in message
    (tmp_path / "config.json").write_text("{")
    assert "broken JSON" in _refusal(t5_weights, tmp_path)


def test_t5_1_1_is_refused_as_transformers_saves_it_now_and_as_it_is_published(tmp_path):
    _t5_folder(tmp_path)
    _edited(tmp_path, scale_decoder_outputs=False)
    assert "T5 1.1" in _refusal(t5_weights, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["scale_decoder_outputs"]
    (tmp_path / "config.json").write_text(json.dumps({**config, "tie_word_embeddings": False}))
    assert "T5 1.1" in _refusal(t5_weights, tmp_path)
