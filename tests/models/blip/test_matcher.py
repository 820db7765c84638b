"""Image-text matching and similarity against transformers' stock model."""

import pytest
import torch
from torch import Tensor
from transformers.models.blip.modeling_blip import BlipForImageTextRetrieval

from amad_bench.models.attention.recorder import record
from amad_bench.models.blip.model import BlipMatcher, SdpaTextAttention, SdpaVisionAttention
from tests.tiny_models import tiny_batch, tiny_model, without_labels


def spread_out(model: BlipMatcher) -> BlipMatcher:
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.2, generator=generator)
    return model.eval()


def pairs() -> dict[str, Tensor]:
    return without_labels(tiny_batch("blip-vqa"))  # the second text is padded


def both() -> tuple[BlipMatcher, BlipForImageTextRetrieval]:
    ours = spread_out(BlipMatcher(tiny_model("blip-vqa").config))
    stock = BlipForImageTextRetrieval(ours.config).eval()
    stock.load_state_dict(ours.state_dict())
    return ours, stock


@torch.no_grad()
def test_matching_and_similarity_equal_the_stock_model():
    ours, stock = both()
    expected = stock(**pairs(), use_itm_head=True).itm_score
    assert (expected[:, 1] - expected[:, 0]).std() > 0.01
    torch.testing.assert_close(ours(**pairs()), expected, atol=1e-5, rtol=0)
    expected = stock(**pairs(), use_itm_head=False).itm_score
    torch.testing.assert_close(ours.similarity(**pairs()), expected, atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_saved_stock_folder_loads_unchanged(tmp_path):
    _, stock = both()
    stock.save_pretrained(tmp_path)
    loaded = BlipMatcher.from_pretrained(tmp_path).eval()
    expected = stock(**pairs()).itm_score
    torch.testing.assert_close(loaded(**pairs()), expected, atol=1e-5, rtol=0)


@pytest.mark.trap("blip-5")
def test_every_attention_is_sdpa():
    ours, _ = both()
    kinds = [type(module) for module in ours.modules() if "Attention" in type(module).__name__]
    assert kinds.count(SdpaVisionAttention) == 2
    assert kinds.count(SdpaTextAttention) == 4


@torch.no_grad()
def test_its_attention_can_be_recorded():
    ours, _ = both()
    with record(ours, ["vision.self", "text.self", "text.cross"]) as recorder:
        output = ours(**pairs())
        trace = recorder.trace(output)
    assert {site: len(layers) for site, layers in trace.sites.items()} == {
        "vision.self": 2,
        "text.self": 2,
        "text.cross": 2,
    }
