"""Weights come back exactly, and never into another model."""

import pytest
import torch

from amad_bench.models.checkpoints import load_weights, save_weights
from amad_bench.runtime.errors import UserError
from tests.tiny_models import KINDS, tiny_batch, tiny_model


@pytest.mark.parametrize("kind", KINDS)
def test_saved_weights_come_back_exactly(kind, tmp_path):
    model, other = tiny_model(kind, seed=1).eval(), tiny_model(kind, seed=2).eval()
    for name in ("first", "second"):
        save_weights(model, tmp_path / name, {"heads": 4})
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    load_weights(other, tmp_path / "first", {"heads": 4})
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in model.state_dict().items())
    assert torch.equal(model(**tiny_batch(kind)).logits, other(**tiny_batch(kind)).logits)


def test_another_head_count_is_refused_although_all_shapes_fit(tmp_path):
    """BLIP with 4 heads strict-loads into 2 heads and computes another function."""
    save_weights(tiny_model("blip-vqa", heads=4), tmp_path / "weights", {"heads": 4})
    with pytest.raises(UserError, match="weights of a model with 4 heads cannot be read with 2 heads"):
        load_weights(tiny_model("blip-vqa", heads=2), tmp_path / "weights", {"heads": 2})


def test_another_model_is_refused(tmp_path):
    save_weights(tiny_model("blip-vqa"), tmp_path / "weights", {"heads": 4})
    with pytest.raises(UserError, match=r"not the weights of this model, see .*; delete the run's folder"):
        load_weights(tiny_model("blip-captioning"), tmp_path / "weights", {"heads": 4})


@pytest.mark.parametrize("content", [b"", b"\x10\x00\x00\x00\x00\x00\x00\x00{not json", None])
def test_a_broken_or_missing_file_is_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "weights").write_bytes(content)
    with pytest.raises(UserError, match="weights: no weights can be read") as caught:
        load_weights(tiny_model("vlt5"), tmp_path / "weights", {"heads": 4})
    assert len(str(caught.value).splitlines()) == 1
