"""The recorder on plain Hugging Face models, against the same weights under transformers' eager attention."""

import contextlib

import pytest
import torch
from torch import nn

from amad_bench.losses import build_loss
from amad_bench.models.attention.kinds import find_stacks
from amad_bench.models.attention.recorder import record
from amad_bench.models.attention.trace import AttentionDomainError
from tests.models.attention.plain_models import KINDS, SOURCE_MASK, plain_model


def traced(kind, train=False, **options):
    """(trace, model) of a pass under SDPA; no gradients."""
    model = plain_model(kind, **options).train(train)
    with record(model, KINDS[kind].sites, hidden=True) as recorder, torch.no_grad():
        return recorder.trace(model(**KINDS[kind].batch)), model


def eager_maps(kind):
    """site -> maps, as transformers' eager attention returns them in evaluation mode."""
    model, maps = plain_model(kind, eager=True).eval(), {}
    if kind != "blip":
        output = model(**KINDS[kind].batch, output_attentions=True)
        names = {
            "t5": ("encoder_attentions", "decoder_attentions", "cross_attentions"),
            "bert-decoder": ("attentions", "cross_attentions"),
        }.get(kind, ("attentions",))
        return {site: output[name] for site, name in zip(KINDS[kind].sites, names, strict=True)}
    modules = {site: [] for site in KINDS[kind].sites}
    for stack, blocks in find_stacks(model).items():
        for block in blocks:
            for name, attention in block.attention.items():
                modules[f"{stack}.{name}"].append(attention.module)
                attention.module.register_forward_hook(lambda m, _a, out: maps.__setitem__(m, out[1]))
    model(**KINDS[kind].batch)
    return {site: [maps[module] for module in layers] for site, layers in modules.items()}


@pytest.mark.trap("map-4")
@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_maps_equal_those_of_the_eager_layer(kind, train):
    """Train mode changes nothing without dropout; with it, eager maps of most models are after dropout."""
    trace, model = traced(kind, train)
    assert model.config._attn_implementation == ("sdpa" if model._supports_sdpa else "eager")
    with torch.no_grad():
        expected = eager_maps(kind)
    assert set(trace.sites) == set(expected)
    for site, layers in trace.sites.items():
        assert len(layers) == len(expected[site]) == 2
        for layer, expected_BHQK in zip(layers, expected[site], strict=True):
            rows = layer.query_mask_BQ  # a padded row is whatever the implementation makes of it
            actual_BHQK = layer.probs_BHQK()
            assert actual_BHQK.shape[1] == 3
            torch.testing.assert_close(
                actual_BHQK.transpose(1, 2)[rows], expected_BHQK.transpose(1, 2)[rows], atol=1e-6, rtol=0
            )


@pytest.mark.parametrize("kind", ["t5", "bert", "vit"])
def test_maps_equal_those_of_the_eager_layer_under_autocast(kind):
    """Within the layer's own rounding: it computes scores and maps in bfloat16, the recorder in float32."""
    with torch.autocast("cpu", dtype=torch.bfloat16):
        trace, _ = traced(kind)
        with torch.no_grad():
            expected = eager_maps(kind)
    for site, layers in trace.sites.items():
        actual_BHQK = layers[0].probs_BHQK()
        assert actual_BHQK.dtype == torch.float32
        sums = actual_BHQK.sum(-1).transpose(1, 2)[layers[0].query_mask_BQ]
        torch.testing.assert_close(sums, torch.ones_like(sums), atol=1e-6, rtol=0)
        rows = layers[0].query_mask_BQ
        torch.testing.assert_close(
            actual_BHQK.transpose(1, 2)[rows],
            expected[site][0].float().transpose(1, 2)[rows],
            atol=1e-2,
            rtol=0,
        )


@pytest.mark.parametrize("kind", KINDS)
def test_maps_values_and_output_weights_make_what_the_layer_returns(kind):
    """sum_h A_h V_h W_h + b is what the projection returns: values, weights, order of heads."""
    model, outputs = plain_model(kind).eval(), {}
    stacks = find_stacks(model)
    projections = {}
    for stack, blocks in stacks.items():
        for index, block in enumerate(blocks):
            for name, (module, output, _) in block.attention.items():
                linear = next(
                    (module.get_submodule(n) for n in ("o", "o_proj", "projection") if hasattr(module, n)),
                    None,
                )
                projections[f"{stack}.{name}", index] = linear or output
    for projection in projections.values():
        projection.register_forward_hook(lambda m, _a, out: outputs.__setitem__(m, out))
    with record(model, KINDS[kind].sites) as recorder, torch.no_grad():
        trace = recorder.trace(model(**KINDS[kind].batch))
    for site, layers in trace.sites.items():
        for index, layer in enumerate(layers):
            projection = projections[site, index]
            mixed = torch.einsum(
                "bhqk,bhkd,hde->bqe", layer.probs_BHQK(), layer.value_BJKD, layer.output_weight_HDd
            )
            if projection.bias is not None:
                mixed = mixed + projection.bias
            rows = layer.query_mask_BQ
            torch.testing.assert_close(mixed[rows], outputs[projection][rows], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_hidden_states_are_the_outputs_of_the_layers(kind):
    trace, model = traced(kind)
    with torch.no_grad():
        output = model.eval()(**KINDS[kind].batch, output_hidden_states=True)
    expected = {
        "t5": {"encoder": "encoder_hidden_states", "decoder": "decoder_hidden_states"},
        "bert": {"encoder": "hidden_states"},
        "bert-decoder": {"decoder": "hidden_states"},
        "vit": {"vision": "hidden_states"},
        "blip": {},  # returns none of them
    }[kind]
    assert set(trace.hidden) == (set(expected) or {"vision", "text", "decoder"})
    for stack, name in expected.items():
        states = list(output[name])[1:]  # the first is the embedding
        if kind == "t5":
            states[-1] = trace.hidden[stack][-1]  # transformers normalises the last one: compared below
        torch.testing.assert_close(trace.hidden[stack], states, atol=0, rtol=0)
    if kind == "t5":
        final = model.encoder.final_layer_norm(trace.hidden["encoder"][-1])
        torch.testing.assert_close(final, output.encoder_last_hidden_state, atol=0, rtol=0)
    if kind == "blip":
        image = model.vision_model.post_layernorm(trace.hidden["vision"][-1])
        torch.testing.assert_close(image, output.last_hidden_state, atol=1e-6, rtol=0)
        assert [len(layers) for layers in trace.hidden.values()] == [2, 2, 2]


def test_a_stack_that_the_pass_did_not_reach_has_no_hidden_states():
    model = plain_model("t5").eval()
    with record(model, hidden=True) as recorder, torch.no_grad():
        model.encoder(input_ids=KINDS["t5"].batch["input_ids"])
        assert list(recorder.trace(None).hidden) == ["encoder"]
        model(**KINDS["t5"].batch)
        assert list(recorder.trace(None).hidden) == ["encoder", "decoder"]
    with record(model) as recorder, torch.no_grad():
        model(**KINDS["t5"].batch)
        assert recorder.trace(None).hidden == {}


@pytest.mark.trap("map-3")
@pytest.mark.parametrize("kind", KINDS)
def test_padding_is_masked_as_query_and_as_key(kind):
    trace, _ = traced(kind)
    source = SOURCE_MASK.bool()
    for site in ("encoder.self", "text.self"):
        if site in trace.sites:
            assert torch.equal(trace.sites[site][1].query_mask_BQ, source)
            assert torch.all(trace.sites[site][1].probs_BHQK()[1, :, :, 3:] == 0)
    for site in ("decoder.self", "decoder.cross"):
        if site in trace.sites:
            target = KINDS[kind].batch.get("decoder_attention_mask", KINDS[kind].batch["attention_mask"])
            assert torch.equal(trace.sites[site][0].query_mask_BQ, target.bool())
    if "decoder.self" in trace.sites:
        future = torch.ones(4, 4).triu(1).bool()
        assert torch.all(trace.sites["decoder.self"][0].probs_BHQK()[:, :, future] == 0)
    if kind in ("t5", "bert-decoder"):
        assert torch.all(trace.sites["decoder.cross"][0].probs_BHQK()[1, :, :, 3:] == 0)


@pytest.mark.parametrize("kind", ["t5", "bert-decoder", "blip"])
def test_a_cross_attention_recorded_alone_knows_which_queries_are_real(kind):
    model = plain_model(kind).eval()
    with record(model, ["decoder.cross"]) as recorder, torch.no_grad():
        trace = recorder.trace(model(**KINDS[kind].batch))
    assert list(trace.sites) == ["decoder.cross"]
    real_BQ = torch.tensor([[True] * 4, [True, True, False, False]])
    assert torch.equal(trace.sites["decoder.cross"][0].query_mask_BQ, real_BQ)


def test_without_any_padding_the_causal_mask_is_still_there():
    """transformers then passes no mask at all and leaves causality to the kernel."""
    for kind in ("t5", "bert-decoder"):
        model = plain_model(kind).eval()
        names = ("input_ids", "decoder_input_ids", "encoder_hidden_states")
        batch = {name: value for name, value in KINDS[kind].batch.items() if name in names}
        with record(model, ["decoder.self"]) as recorder, torch.no_grad():
            layer = recorder.trace(model(**batch, use_cache=False)).sites["decoder.self"][0]
        future = torch.ones(4, 4).triu(1).bool()
        assert torch.all(layer.probs_BHQK()[:, :, future] == 0)
        assert torch.all(layer.probs_BHQK()[:, :, ~future] > 0)


def test_stock_blip_attends_to_padded_tokens_of_the_question_and_the_trace_shows_it():
    trace, _ = traced("blip")
    assert torch.all(trace.sites["decoder.cross"][0].probs_BHQK()[1, :, :, 3:] > 0)


@pytest.mark.parametrize("kind", ["bert", "t5"])
def test_an_additive_mask_with_finite_entries_is_part_of_the_scores(kind):
    """A bias given as a float mask, as ALiBi does it, must not be read as "may be attended" and dropped."""
    model = plain_model(kind, eager=True).eval()
    slope = -0.3 * torch.arange(5.0).view(1, 1, 1, 5).repeat(2, 1, 5, 1)
    slope[1, :, :, 3:] = torch.finfo(torch.float32).min
    batch = {"input_ids": KINDS[kind].batch["input_ids"], "attention_mask": slope, "output_attentions": True}
    with record(model) as recorder, torch.no_grad():
        output = model(**batch) if kind == "bert" else model.encoder(**batch)
        layer = recorder.trace(output).sites["encoder.self"][0]
    torch.testing.assert_close(layer.probs_BHQK(), output.attentions[0], atol=1e-6, rtol=0)
    assert torch.equal(layer.query_mask_BQ, SOURCE_MASK.bool())


@pytest.mark.parametrize("kind", KINDS)
def test_recording_changes_no_output_and_leaves_no_hook(kind):
    model = plain_model(kind).eval()
    with torch.no_grad():
        before = model(**KINDS[kind].batch)
        with record(model, KINDS[kind].sites, hidden=True):
            during = model(**KINDS[kind].batch)
    name = "last_hidden_state" if "last_hidden_state" in before else "logits"
    assert torch.equal(before[name], during[name])
    assert not any(module._forward_hooks for module in model.modules())


def test_an_error_inside_leaves_no_hook():
    model = plain_model("bert")
    with contextlib.suppress(KeyError), record(model, hidden=True):
        raise KeyError
    assert not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("kind", KINDS)
def test_two_models_of_different_head_counts_give_a_loss_with_gradients(kind):
    """Recorded at the same time, the teacher without gradients, as in the README's example."""
    teacher, student = plain_model(kind).eval(), plain_model(kind, heads=2).train()
    batch, sites = KINDS[kind].batch, KINDS[kind].sites
    with record(teacher, sites) as first, record(student, sites) as second:
        with torch.no_grad():
            teacher_trace = first.trace(teacher(**batch))
        student_trace = second.trace(student(**batch))
    loss = build_loss("amad")(teacher_trace, student_trace)["attention"]
    loss.backward()
    assert loss > 0
    for site, layers in student_trace.sites.items():
        assert layers[1].query_BHQD.shape[1] == 2, site
    gradients = [
        p.grad for name, p in student.named_parameters() if name.endswith(("q.weight", "query.weight"))
    ]
    assert all(g is None or torch.isfinite(g).all() for g in gradients)
    assert teacher_trace.sites[sites[0]][0].query_BHQD.requires_grad is False


def test_a_model_of_another_kind_is_named():
    with pytest.raises(ValueError, match=r"Linear has no attention site that is known"):
        record(nn.Linear(2, 2)).__enter__()


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable`:FutureWarning")
@pytest.mark.parametrize("reentrant", [False, True])
def test_checkpointed_layers_written_by_hand(reentrant):
    """A second pass in the backward one is not recorded; queries without gradient are refused."""
    model = plain_model("blip").train()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    for parameter in model.parameters():
        parameter.requires_grad_()
    with record(model, ["decoder.self"]) as recorder:
        output = model(**KINDS["blip"].batch)
        if reentrant:
            refused = r"site decoder\.self, layer 0: it ran without gradients .* use_reentrant=False"
            with pytest.raises(AttentionDomainError, match=refused):
                recorder.trace(output)
            return
        probs_BHQK = recorder.trace(output).sites["decoder.self"][0].probs_BHQK()
        probs_BHQK.square().sum().backward()
        with pytest.raises(AttentionDomainError, match="recorded no attention"):
            recorder.trace(output)
    query = model.text_decoder.bert.encoder.layer[0].attention.self.query
    assert query.weight.grad.abs().max() > 1e-6
