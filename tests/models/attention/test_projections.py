"""W_O where it is found: with it, maps and values make what the attention module returns."""

import pytest
import torch
from torch import nn

from amad_bench.models.attention.projections import output_projection, output_weight
from amad_bench.models.attention.recorder import record
from tests.models.attention.architectures import ARCHITECTURES, BATCHES, make

# Of each the site, and the end of the path of what adds W_O's bias.
FOUND = {
    "Llama": ("decoder.self", "self_attn.o_proj"),
    "GPT-2": ("decoder.self", "attn.c_proj"),
    "OPT": ("decoder.self", "self_attn.out_proj"),
    "DistilBERT": ("encoder.self", "attention.out_lin"),
    "RoBERTa": ("encoder.self", "attention.output.dense"),
    "DeiT": ("vision.self", "o_proj"),
    "BART": ("decoder.cross", "encoder_attn.out_proj"),
    "CLIP": ("text.self", "self_attn.out_proj"),
}


@pytest.mark.parametrize("name", FOUND)
def test_maps_values_and_output_weights_make_what_the_projection_returns(name):
    (site, path), model, returned = FOUND[name], make(name), []
    for place, module in model.named_modules():
        if place.endswith(path) and not (name == "CLIP" and place.startswith("vision")):
            module.register_forward_hook(lambda _m, _a, out: returned.append(out))
            bias = getattr(module, "bias", None)
    with record(model, [site]) as recorder:
        trace = recorder.trace(model(**BATCHES[ARCHITECTURES[name].batches[0]]))
    layer = trace.sites[site][-1]
    groups = layer.query_BHQD.shape[1] // layer.value_BJKD.shape[1]
    value_BHKD = layer.value_BJKD.repeat_interleave(groups, dim=1)
    mixed = torch.einsum("bhqk,bhkd,hde->bqe", layer.probs_BHQK(), value_BHKD, layer.output_weight_HDd)
    rows_BQ = layer.query_mask_BQ
    expected = returned[-1] if bias is None else returned[-1] - bias
    torch.testing.assert_close(mixed[rows_BQ], expected[rows_BQ], atol=1e-5, rtol=1e-5)


def test_where_it_is_not_sure_there_is_none():
    both = nn.ModuleDict({"o_proj": nn.Linear(6, 4), "proj": nn.Linear(6, 4)})
    assert output_projection(both, {}) is None
    assert output_projection(nn.ModuleDict(), {}) is None
    assert output_weight(None, 2) is None
    assert output_weight(nn.Conv2d(6, 6, 1), 2) is None
    assert output_weight(nn.Linear(7, 4), 2) is None
