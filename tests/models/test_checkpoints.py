"""Weights come back exactly, and never into another model."""

import re

import pytest
import torch
from safetensors.torch import save_file

from amad_bench.models.checkpoints import checkpoint_weights, load_weights, save_tensors, save_weights
from amad_bench.models.heads import head_partition
from amad_bench.models.settings import settings_of
from amad_bench.models.weights import own_tensors
from amad_bench.runtime.errors import UserError
from tests.tiny_models import KINDS, tiny_batch, tiny_model

SETTINGS = {"text.hidden_act": "relu", "text.layer_norm_eps": 1e-7}


@pytest.mark.parametrize("kind", KINDS)
def test_saved_weights_come_back_exactly(kind, tmp_path):
    model, other = tiny_model(kind, seed=1).eval(), tiny_model(kind, seed=2).eval()
    for name in ("first", "second"):
        save_weights(model, tmp_path / name)
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    load_weights(other, checkpoint_weights(tmp_path / "first"))
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())
    assert torch.equal(model(**tiny_batch(kind)).logits, other(**tiny_batch(kind)).logits)


@pytest.mark.trap("heads-3")
def test_another_head_count_is_refused_although_all_shapes_fit(tmp_path):
    """BLIP with 4 heads strict-loads into 2 heads ("All keys matched") and computes another function."""
    four, two = tiny_model("blip-vqa", heads=4, seed=1).eval(), tiny_model("blip-vqa", heads=2).eval()
    other = tiny_model("blip-vqa", heads=2).eval()
    assert str(other.load_state_dict(four.state_dict(), strict=True)) == "<All keys matched successfully>"
    batch = tiny_batch("blip-vqa")
    assert not torch.allclose(other(**batch).logits, four(**batch).logits, atol=1e-3)
    before = two(**batch).logits
    save_weights(four, tmp_path / "weights")
    with pytest.raises(UserError, match="weights of a model with 4 heads cannot be read with 2 heads"):
        load_weights(two, checkpoint_weights(tmp_path / "weights"))
    assert torch.equal(two(**batch).logits, before)


@pytest.mark.trap("heads-4")
def test_t5_of_another_head_count_fails_through_its_bias_tables_alone():
    """The projections of one inner width fit; without the bias tables nothing would show the heads."""
    four, two = tiny_model("vlt5", heads=4).state_dict(), tiny_model("vlt5", heads=2)
    with pytest.raises(RuntimeError, match="size mismatch") as caught:
        two.load_state_dict(four, strict=True)
    differing = re.findall(r"size mismatch for (\S+):", str(caught.value))
    table = "block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    assert differing == [f"{stack}.{table}" for stack in ("encoder", "decoder")]


def test_other_settings_are_refused_although_all_shapes_fit(tmp_path):
    """Of the same tensors another epsilon makes another function."""
    model = tiny_model("vlt5")
    other = settings_of(model) | {"layer_norm_epsilon": 0.1}
    save_tensors(own_tensors(model), tmp_path / "weights", head_partition(model), other)
    with pytest.raises(UserError, match=r"'layer_norm_epsilon': 0.1.* in a model of .*1e-06.*; train that"):
        load_weights(model, checkpoint_weights(tmp_path / "weights"))


def test_one_site_with_other_heads_is_refused(tmp_path):
    model = tiny_model("blip-vqa")
    heads = head_partition(model)
    save_tensors(own_tensors(model), tmp_path / "weights", heads | {"text.cross": 2}, {})
    with pytest.raises(
        UserError, match=r"with 4 decoder.cross, .* 2 text.cross, .* heads cannot be read with 4"
    ):
        load_weights(model, checkpoint_weights(tmp_path / "weights"))


@pytest.mark.trap("heads-5")
def test_tensors_come_back_with_their_partition(tmp_path):
    tensors = {"b": torch.arange(6.0).view(2, 3).T, "a": torch.ones(2)}
    save_tensors(tensors, tmp_path / "weights", {"text.self": 4, "decoder.self": 2}, SETTINGS)
    weights = checkpoint_weights(tmp_path / "weights")
    assert weights.heads == {"text.self": 4, "decoder.self": 2}
    assert weights.settings == SETTINGS
    assert weights.where == str(tmp_path / "weights")
    assert {name: tensor.tolist() for name, tensor in weights.tensors.items()} == {
        "a": [1.0, 1.0],
        "b": [[0.0, 3.0], [1.0, 4.0], [2.0, 5.0]],
    }
    reordered = dict(reversed(tensors.items()))
    save_tensors(
        reordered, tmp_path / "again", {"decoder.self": 2, "text.self": 4}, dict(reversed(SETTINGS.items()))
    )
    assert (tmp_path / "again").read_bytes() == (tmp_path / "weights").read_bytes()


@pytest.mark.trap("heads-5")
@pytest.mark.parametrize(
    "metadata", [None, {"heads": "4"}, {"model": "4"}, {"model": "no json"}, {"model": '{"heads": {}}'}]
)
def test_weights_without_a_partition_are_refused(tmp_path, metadata):
    save_file({"a": torch.ones(2)}, tmp_path / "weights", metadata=metadata)
    with pytest.raises(UserError, match="weights that do not say which heads and settings they have"):
        checkpoint_weights(tmp_path / "weights")


def test_another_model_is_refused(tmp_path):
    model = tiny_model("vlt5")
    tensors = own_tensors(model)
    cases = {
        r"of another shape shared.weight is \(39, 16\), expected \(40, 16\)": {
            **tensors,
            "shared.weight": tensors["shared.weight"][:-1],
        },
        "missing nothing; unexpected more; of another shape nothing": {**tensors, "more": torch.ones(1)},
        "missing encoder.final_layer_norm.weight; unexpected nothing; of another shape nothing": {
            name: tensor for name, tensor in tensors.items() if name != "encoder.final_layer_norm.weight"
        },
    }
    for reason, stored in cases.items():
        save_tensors(stored, tmp_path / "weights", head_partition(model), settings_of(model))
        with pytest.raises(UserError, match=f"not the weights of this model: .*{reason}; delete the run's"):
            load_weights(model, checkpoint_weights(tmp_path / "weights"))


@pytest.mark.parametrize("content", [b"", b"\x10\x00\x00\x00\x00\x00\x00\x00{not json", None])
def test_a_broken_or_missing_file_is_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "weights").write_bytes(content)
    with pytest.raises(UserError, match="weights: no weights can be read") as caught:
        load_weights(tiny_model("vlt5"), checkpoint_weights(tmp_path / "weights"))
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_in_place_of_the_file_is_one_line(tmp_path):
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(UserError, match=r"model\.safetensors: no weights can be read \(a folder\); delete"):
        checkpoint_weights(tmp_path / "model.safetensors")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(tmp_path, value):
    tensors = {"a": torch.ones(2), "b": torch.tensor([1.0, value]), "steps": torch.tensor(3)}
    save_tensors(tensors, tmp_path / "weights", {"text.self": 4}, {})
    with pytest.raises(UserError, match="weights: b is not finite, it holds NaN or infinity"):
        checkpoint_weights(tmp_path / "weights")
