"""The recorder against transformers' own eager attention, and the domain that docs/methods.md asks for."""

import sys

import pytest
import torch
from transformers.models.blip.modeling_blip import BlipForQuestionAnswering
from transformers.models.t5.configuration_t5 import T5Config
from transformers.models.t5.modeling_t5 import T5ForConditionalGeneration

from amad_bench.losses import build_loss
from amad_bench.models.attention.recorder import record
from amad_bench.models.attention.trace import AttentionDomainError
from amad_bench.runtime.errors import UserError
from tests.tiny_models import KINDS, SITES, tiny_batch, tiny_model


def _trace(kind, model=None, train=False, **options):
    model = model or tiny_model(kind, **options)
    model.train(train)
    batch = tiny_batch(kind)
    with record(model, SITES[kind]) as recorder:
        return recorder.trace(model(**batch), labels=batch["labels"])


@pytest.mark.trap("map-2")
@pytest.mark.trap("map-3")
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_rows_sum_to_one_and_masked_keys_hold_exactly_zero_mass(kind, train):
    trace = _trace(kind, train=train, dropout=0.3)
    for layers in trace.sites.values():
        assert len(layers) == 2
        for layer in layers:
            probs_BHQK = layer.probs_BHQK()
            assert probs_BHQK.shape[1] == 4
            sums = probs_BHQK.sum(-1).transpose(1, 2)[layer.query_mask_BQ]
            torch.testing.assert_close(sums, torch.ones_like(sums), atol=1e-6, rtol=0)
            if layer.mask_BHQK is not None:
                masked = ~layer.mask_BHQK.expand_as(probs_BHQK)
                assert torch.all(probs_BHQK[masked] == 0)


@pytest.mark.trap("vlt5-11")
def test_padding_is_masked_at_the_sites_that_see_it():
    joint = _trace("vlt5").sites["encoder.self"][0]
    expected = torch.tensor([[1] * 6 + [1, 1, 1], [1] * 4 + [0, 0] + [1, 1, 0], [1] * 6 + [0, 0, 0]]).bool()
    assert torch.equal(joint.mask_BHQK[:, 0, 0], expected)
    assert torch.equal(joint.query_mask_BQ, expected)
    question = _trace("blip-vqa")
    words = tiny_batch("blip-vqa")["attention_mask"].bool()
    assert torch.equal(question.sites["text.cross"][1].query_mask_BQ, words)
    # the question's padding, as keys of the answer decoder: transformers 5.23 drops this mask
    assert torch.all(question.sites["decoder.cross"][0].probs_BHQK()[1, :, :, 4:] == 0)


@pytest.mark.parametrize("kind", KINDS)
def test_target_padding_is_no_query(kind):
    for site in ("decoder.self", "decoder.cross"):
        mask_BQ = _trace(kind).sites[site][0].query_mask_BQ
        prompt = mask_BQ.shape[1] - 5
        assert mask_BQ[0].tolist() == [True] * (prompt + 3) + [False] * 2
        assert mask_BQ[1].all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_random_student_has_attention_loss_above_zero(kind):
    teacher, student = _trace(kind, heads=4, seed=1), _trace(kind, heads=2, seed=2)
    for site in SITES[kind]:
        part = build_loss("amad", sites=[site], variant="kl")(teacher, student)["attention"]
        assert part.item() > 1e-6  # far above rounding; fresh BLIP maps are near uniform


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_states_are_the_outputs_of_every_layer_of_every_stack(kind):
    """The states that the decoder attends to are the encoder's last ones, normalised."""
    model, batch = tiny_model(kind).eval(), tiny_batch(kind)
    with record(model, SITES[kind][:1], hidden=True) as recorder, torch.no_grad():
        output = model(**batch)
        hidden = recorder.trace(output, labels=batch["labels"]).hidden
    assert set(hidden) == {site.partition(".")[0] for site in SITES[kind]}
    assert all(len(layers) == 2 for layers in hidden.values())
    seen = {"vlt5": "encoder", "blip-vqa": "text", "blip-captioning": "vision"}[kind]
    last_BLd = hidden[seen][-1]
    if kind == "vlt5":
        last_BLd = model.encoder.final_layer_norm(last_BLd)
    if kind == "blip-captioning":
        last_BLd = model.vision_model.post_layernorm(last_BLd)
    assert torch.equal(last_BLd, output.encoder_last_hidden_state)
    assert hidden["decoder"][1].shape == (3, 8 if kind == "blip-captioning" else 5, 16)
    assert not torch.equal(hidden["decoder"][0], hidden["decoder"][1])


def test_plain_t5_matches_its_eager_maps():
    torch.manual_seed(0)
    config = T5Config(
        vocab_size=30, d_model=16, d_kv=4, d_ff=32, num_layers=2, num_heads=3, decoder_start_token_id=0
    )
    config._attn_implementation = "eager"
    model = T5ForConditionalGeneration(config).eval()
    ids = torch.tensor([[5, 6, 7, 8, 1], [9, 4, 1, 0, 0]])
    labels = torch.tensor([[3, 4, 1], [7, 1, -100]])
    with record(model, ["encoder.self", "decoder.self", "decoder.cross"]) as recorder, torch.no_grad():
        output = model(input_ids=ids, attention_mask=ids.ne(0).long(), labels=labels, output_attentions=True)
        trace = recorder.trace(output, labels)
    pairs = {
        "encoder.self": output.encoder_attentions,
        "decoder.self": output.decoder_attentions,
        "decoder.cross": output.cross_attentions,
    }
    for site, maps in pairs.items():
        assert len(maps) == 2
        for layer, expected_BHQK in zip(trace.sites[site], maps, strict=True):
            torch.testing.assert_close(layer.probs_BHQK(), expected_BHQK, atol=1e-6, rtol=0)


def test_blip_matches_stock_eager_maps_and_values():
    """Stock BLIP computes the maps by hand; here they come from SDPA modules with the same weights."""
    ours = tiny_model("blip-vqa").eval()
    stock = BlipForQuestionAnswering(ours.config).eval()
    stock.load_state_dict(ours.state_dict())
    batch = tiny_batch("blip-vqa")
    batch["input_ids"][batch["input_ids"] == 0] = 5  # without padding: stock BLIP ignores the cross mask
    batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    maps = {}
    for name, module in stock.named_modules():
        if name.endswith((".self", ".self_attn")):
            module.register_forward_hook(lambda _m, _a, out, name=name: maps.__setitem__(name, out))
    trace = _trace_of(ours, batch)
    with torch.no_grad():
        image = stock.vision_model(batch["pixel_values"]).last_hidden_state
        stock.text_encoder(
            batch["input_ids"], attention_mask=batch["attention_mask"], encoder_hidden_states=image
        )
    for site, name in {
        "vision.self": "vision_model.encoder.layers.{}.self_attn",
        "text.self": "text_encoder.encoder.layer.{}.attention.self",
        "text.cross": "text_encoder.encoder.layer.{}.crossattention.self",
    }.items():
        for index, layer in enumerate(trace.sites[site]):
            context, expected_BHQK = maps[name.format(index)]
            torch.testing.assert_close(layer.probs_BHQK(), expected_BHQK, atol=1e-6, rtol=0)
            if (
                site != "vision.self"
            ):  # the value and the head layout: probs @ V is what the stock module returns
                mixed = (layer.probs_BHQK() @ layer.value_BJKD).transpose(1, 2).flatten(2)
                torch.testing.assert_close(mixed, context, atol=1e-6, rtol=0)
            else:
                weight = layer.output_weight_HDd
                mixed = torch.einsum("bhqk,bhkd,hde->bqe", layer.probs_BHQK(), layer.value_BJKD, weight)
                bias = stock.vision_model.encoder.layers[index].self_attn.projection.bias
                torch.testing.assert_close(mixed + bias, context, atol=1e-6, rtol=0)


def _trace_of(model, batch):
    with record(model, SITES["blip-vqa"]) as recorder, torch.no_grad():
        return recorder.trace(model(**batch), labels=batch["labels"])


def test_recording_leaves_the_forward_pass_unchanged_and_removes_its_hooks():
    model = tiny_model("vlt5").eval()
    batch = tiny_batch("vlt5")
    before = model(**batch).logits
    with record(model, ["encoder.self"]) as recorder:
        during = recorder.trace(model(**batch), batch["labels"]).logits_BLV
    assert torch.equal(before, during)
    assert not any(module._forward_hooks for module in model.modules())


def test_two_models_at_once_do_not_mix():
    teacher, student = tiny_model("vlt5", heads=4), tiny_model("vlt5", heads=2, seed=3)
    batch = tiny_batch("vlt5")
    with record(teacher) as first, record(student) as second:
        outputs = teacher(**batch), student(**batch)
        traces = [r.trace(o, batch["labels"]) for r, o in zip((first, second), outputs, strict=True)]
    assert [t.sites["encoder.self"][0].query_BHQD.shape[1] for t in traces] == [4, 2]


def test_gradients_reach_the_projections_of_the_student():
    model = tiny_model("vlt5")
    layer = _trace("vlt5", model=model, train=True).sites["encoder.self"][1]
    layer.probs_BHQK().square().sum().backward()
    assert model.encoder.block[1].layer[0].SelfAttention.q.weight.grad.abs().sum() > 0


@pytest.mark.trap("site-2")
def test_unknown_site_names_the_model_and_what_it_has():
    with pytest.raises(
        ValueError,
        match=r"VLT5 has no attention site 'vision.self'; it has: decoder.cross, decoder.self, encoder.self",
    ):
        record(tiny_model("vlt5"), ["vision.self"]).__enter__()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sites": "decoder.self"}, "sites 'decoder.self': expected a list of sites, or None for all"),
        (
            {"layers": {"decoder.self": [0, 5]}},
            "layers: site 'decoder.self' has 2, counted from 0, and none is 5",
        ),
        (
            {"sites": ["decoder.self"], "layers": {"encoder.self": [0]}},
            "layers: none is given for site 'decoder.self'",
        ),
        (
            {"reads": ["prob"]},
            "reads: 'prob' is no part of a trace; those are: hidden, keys, logits, output_weight",
        ),
    ],
)
def test_what_cannot_be_recorded_is_said_in_one_line(options, message):
    with pytest.raises(ValueError, match=f"^{message}[^\n]*$"):
        record(tiny_model("vlt5"), **options).__enter__()


def test_sites_are_those_of_the_layers():
    model, batch = tiny_model("vlt5"), tiny_batch("vlt5")
    with record(model, layers={"decoder.self": [1]}) as recorder:
        trace = recorder.trace(model(**batch), batch["labels"])
    assert list(trace.sites) == ["decoder.self"]


@pytest.mark.trap("map-5")
def test_a_trace_without_a_forward_pass_is_an_error():
    model = tiny_model("vlt5")
    batch = tiny_batch("vlt5")
    with record(model) as recorder:
        output = model(**batch)
        recorder.trace(output, batch["labels"])
        with pytest.raises(AttentionDomainError, match=r"encoder\.self, layer 0"):
            recorder.trace(output, batch["labels"])


def test_untested_versions_of_transformers_are_refused(monkeypatch):
    """Renamed arguments of its blocks would be read wrong without an error."""

    def refuse(*packages):
        raise UserError(f"{packages} not tested")

    model = tiny_model("vlt5")
    monkeypatch.setattr("amad_bench.models.attention.recorder.check_versions", refuse)
    with pytest.raises(UserError, match=r"\('transformers',\) not tested"), record(model):
        pass
    monkeypatch.delitem(sys.modules, "transformers")  # a model of one's own
    with record(model):
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_of_chosen_layers_the_same_is_recorded_and_of_others_nothing(kind):
    """A cross-attention takes its query mask from the same layer's self-attention, recorded with it."""
    model, batch = tiny_model(kind).eval(), tiny_batch(kind)
    with record(model, SITES[kind], hidden=True) as recorder:
        whole = recorder.trace(model(**batch), batch["labels"])
    for site in SITES[kind]:
        with record(model, [site], {site: [1]}, hidden=True) as recorder:
            trace = recorder.trace(model(**batch), batch["labels"])
        assert len(trace.sites[site]) == 2
        layer, expected = trace.sites[site][-1], whole.sites[site][1]
        assert torch.equal(layer.probs_BHQK(), expected.probs_BHQK())
        assert torch.equal(layer.query_mask_BQ, expected.query_mask_BQ)
        stack = site.partition(".")[0]
        assert torch.equal(trace.hidden[stack][1], whole.hidden[stack][1])
        for layers in (trace.sites[site], trace.hidden[stack]):
            with pytest.raises(AttentionDomainError, match="layer 0 was not recorded, only: 1"):
                layers[0]


def test_only_a_vit_is_known_to_have_no_padding():
    """By what it is, not by a look at a mask; decoders are masked by their labels."""
    for kind, sites in SITES.items():
        batch, model = tiny_batch(kind), tiny_model(kind).eval()
        with record(model, sites) as recorder, torch.no_grad():
            trace = recorder.trace(model(**batch), batch["labels"])
        for site, layers in trace.sites.items():
            assert all(layer.every_query == (site == "vision.self") for layer in layers), (kind, site)
