"""Why the recorder exists: what docs/methods.md#attention-maps says of transformers, in turn."""

import inspect

import pytest
import torch
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, AttentionMaskInterface, eager_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, AttentionInterface
from transformers.models.bert.modeling_bert import eager_attention_forward

from amad_bench.models.attention.kinds import find_stacks
from amad_bench.models.attention.recorder import record
from amad_bench.models.attention.trace import AttentionDomainError
from tests.models.attention.plain_models import KINDS, OLD_CACHE, attend_with, plain_model
from tests.tiny_models import tiny_model

ATTENTIONS = {
    "t5": ("encoder_attentions", "decoder_attentions", "cross_attentions"),
    "bert": ("attentions",),
    "bert-decoder": ("attentions", "cross_attentions"),
    "vit": ("attentions",),
}
OWN = "amad_test_attention"


def keep_returned_maps(model):
    """(site, layer) -> what the attention module itself returns as its map in the next passes."""
    returned = {}
    for stack, blocks in find_stacks(model).items():
        for layer, block in enumerate(blocks):
            for name, attention in block.attention.items():
                attention.module.register_forward_hook(
                    lambda _m, _a, out, key=(f"{stack}.{name}", layer): returned.__setitem__(key, out[-1])
                )
    return returned


@pytest.fixture
def own_attention():
    """Registers functions under one name, and takes the name away again."""

    def register(attention, mask=None):
        AttentionInterface.register(OWN, attention)
        if mask is not None:
            AttentionMaskInterface.register(OWN, mask)

    yield register
    ALL_ATTENTION_FUNCTIONS._global_mapping.pop(OWN, None)
    ALL_MASK_ATTENTION_FUNCTIONS._global_mapping.pop(OWN, None)


@pytest.mark.trap("map-7")
@pytest.mark.parametrize("kind", ATTENTIONS)
def test_under_the_default_sdpa_transformers_returns_an_empty_tuple_of_maps_without_an_exception(kind):
    model = plain_model(kind).eval()
    assert model.config._attn_implementation == "sdpa"
    with record(model, KINDS[kind].sites) as recorder, torch.no_grad():
        output = model(**KINDS[kind].batch, output_attentions=True)
        trace = recorder.trace(output)
    assert [output[name] for name in ATTENTIONS[kind]] == [()] * len(ATTENTIONS[kind])
    assert all(layer.probs_BHQK().sum() > 0 for layers in trace.sites.values() for layer in layers)


@pytest.mark.trap("map-8")
@pytest.mark.parametrize("kind", KINDS)
def test_eager_maps_are_after_dropout_except_of_blip_text_and_recorded_ones_before_it(kind):
    model = plain_model(kind, eager=True, dropout=0.5).train()
    returned = keep_returned_maps(model)
    torch.manual_seed(0)
    with record(model, KINDS[kind].sites) as recorder, torch.no_grad():
        trace = recorder.trace(model(**KINDS[kind].batch))
    for site, layers in trace.sites.items():
        for index, layer in enumerate(layers):
            rows_BQ = layer.query_mask_BQ
            probs_RHK = layer.probs_BHQK().transpose(1, 2)[rows_BQ]
            returned_RHK = returned[site, index].transpose(1, 2)[rows_BQ]
            sums = returned_RHK.sum(-1)
            if kind == "blip" and site != "vision.self":
                torch.testing.assert_close(returned_RHK, probs_RHK, atol=1e-6, rtol=0)
                continue
            assert sums.min() < 0.9
            assert sums.max() > 1.1
            kept = returned_RHK > 0
            assert 0.2 < kept[probs_RHK > 0].float().mean() < 0.8
            torch.testing.assert_close(returned_RHK[kept], 2 * probs_RHK[kept], atol=2e-6, rtol=0)


@pytest.mark.trap("map-9")
@pytest.mark.parametrize("kind", ["t5", "bert"])
def test_a_registered_attention_function_without_a_mask_function_loses_the_padding_and_is_refused(
    kind, own_attention
):
    own_attention(_eager)
    model = plain_model(kind).eval()
    attend_with(model, OWN)
    batch = KINDS[kind].batch
    changed = {**batch, "input_ids": batch["input_ids"].masked_fill(batch["attention_mask"] == 0, 7)}
    with torch.no_grad():
        states = [(model if kind == "bert" else model.encoder)(**_source(b))[0] for b in (batch, changed)]
    assert (states[0] - states[1])[1, :3].abs().max() > 1e-4  # real tokens of the padded sentence
    with (
        record(model),
        torch.no_grad(),
        pytest.raises(
            AttentionDomainError, match=rf"site encoder\.self, layer 0: .*'{OWN}' gets no mask.*AttentionMask"
        ),
    ):
        model(**batch)


@pytest.mark.parametrize("kind", ["t5", "bert"])
def test_with_its_mask_function_a_registered_attention_function_is_recorded(kind, own_attention):
    own_attention(_eager, eager_mask)
    model = plain_model(kind).eval()
    attend_with(model, OWN)
    returned = keep_returned_maps(model)
    with record(model) as recorder, torch.no_grad():
        trace = recorder.trace(model(**KINDS[kind].batch))
    for index, layer in enumerate(trace.sites["encoder.self"]):
        torch.testing.assert_close(
            layer.probs_BHQK()[:, :, :3], returned["encoder.self", index][:, :, :3], atol=1e-6, rtol=0
        )
        assert torch.all(layer.probs_BHQK()[1, :, :, 3:] == 0)


@pytest.mark.trap("map-5")
def test_a_mask_of_another_form_is_refused(own_attention):
    """Flash attention's mask functions return (B, K); nothing here can tell what such a function does."""
    own_attention(
        lambda _module, _query, _key, value, _mask, **_kwargs: (value.transpose(1, 2).contiguous(), None),
        lambda *_args, attention_mask=None, **_kwargs: attention_mask,
    )
    model = plain_model("bert").eval()
    attend_with(model, OWN)
    expected = r"encoder\.self, layer 0: unknown attention mask \(2, 5\)"
    with pytest.raises(AttentionDomainError, match=expected), record(model):
        model(**KINDS["bert"].batch)
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.trap("map-10")
def test_stock_blip_never_calls_a_registered_attention_function(own_attention):
    def refuse(*_args, **_kwargs):
        raise AssertionError

    own_attention(refuse, eager_mask)
    model = plain_model("blip").eval()
    with torch.no_grad():
        before = model(**KINDS["blip"].batch).last_hidden_state
        attend_with(model, OWN)
        assert torch.equal(before, model(**KINDS["blip"].batch).last_hidden_state)


def test_a_bool_mask_under_eager_attention_would_mask_nothing_and_is_refused():
    """transformers' eager attention adds whatever it gets: of a bool mask, 0 and 1."""
    model = tiny_model("vlt5").eval()
    attend_with(model, "eager")
    hidden_BKd = torch.randn(2, 3, model.config.d_model)
    mask_B11K = torch.tensor([[1, 1, 0], [1, 0, 0]]).bool()[:, None, None, :]
    with (
        record(model),
        pytest.raises(AttentionDomainError, match=r"site encoder\.self, layer 0: eager .* bool mask"),
    ):
        model.encoder.block[0](hidden_BKd, attention_mask=mask_B11K)


@pytest.mark.trap("map-5")
def test_a_step_of_a_generation_is_refused():
    model = plain_model("t5").eval()
    batch = KINDS["t5"].batch
    with torch.no_grad():
        cache = OLD_CACHE if OLD_CACHE in inspect.signature(model.forward).parameters else "cache"
        past = model(**batch, use_cache=True)[cache]
        rest = {**batch, "decoder_input_ids": batch["decoder_input_ids"][:, :1]}
        del rest["decoder_attention_mask"]
        for site in ("decoder.self", "decoder.cross"):
            with (
                record(model, [site]),
                pytest.raises(AttentionDomainError, match=r"site decoder.\w+, layer 0: .*whole passes"),
            ):
                model(**rest, **{cache: past})


def _source(batch):
    return {name: batch[name] for name in ("input_ids", "attention_mask")}


def _eager(module, query, key, value, attention_mask, scaling=None, position_bias=None, **_kwargs):
    """BERT's own eager attention, which knows no position bias."""
    if position_bias is not None:
        attention_mask = position_bias if attention_mask is None else position_bias + attention_mask
    return eager_attention_forward(module, query, key, value, attention_mask, scaling=scaling, dropout=0.0)
