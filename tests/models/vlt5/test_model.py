"""VL-T5's facts (docs/methods.md#vl-t5), each against a computation beside the model's own code path."""

import pytest
import torch

from amad_bench.losses import ce_loss
from amad_bench.models.attention.recorder import record
from amad_bench.models.vlt5.model import VLT5, VLT5Config, box_area
from tests.models.attention.plain_models import attend_with
from tests.tiny_models import VOCABULARY, tiny_batch, tiny_model, without_labels


@pytest.mark.trap("vlt5-8")
def test_box_area_true_and_the_official_quirk():
    box = torch.tensor([[[0.1, 0.2, 0.5, 0.9]]])
    assert box_area(box, "true").item() == pytest.approx(0.4 * 0.7, rel=1e-5)
    assert box_area(box, "official").item() == pytest.approx((0.9 - 0.5) * (0.2 - 0.1), rel=1e-5)
    assert box_area(torch.tensor([[[0.1, 0.6, 0.9, 0.8]]]), "official").item() < 0


def _official_vlt5():
    """With the object-order embedding, which the models trained here leave out."""
    return VLT5(VLT5Config(**{**tiny_model("vlt5").config.to_dict(), "use_vis_order_embedding": True}))


@pytest.mark.trap("vlt5-3")
@pytest.mark.trap("vlt5-5")
def test_region_embedding_is_the_sum_of_four_parts():
    model = _official_vlt5().eval()
    visual = model.encoder.visual_embedding
    batch = tiny_batch("vlt5")
    boxes = batch["boxes"]
    area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])

    def normed(rows, weight):
        return rows / (rows.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight

    linear, norm = visual.feat_embedding
    features = normed(batch["vis_feats"] @ linear.weight.T + linear.bias, norm.weight)
    linear, norm = visual.absolute_vis_pos_embedding
    places = normed(torch.cat([boxes, area[..., None]], -1) @ linear.weight.T + linear.bias, norm.weight)
    table = model.shared.weight
    objects = torch.stack([table[len(table) - 1 - i] for i in range(3)])
    expected = features + places + visual.img_order_embedding.weight[0] + objects
    torch.testing.assert_close(visual(batch["vis_feats"], boxes), expected, atol=1e-6, rtol=0)


@pytest.mark.trap("vlt5-4")
def test_object_order_is_the_text_table_read_backwards():
    """Object i is row V-1-i: a change of that word's embedding moves region i and no other."""
    model = _official_vlt5().eval()
    batch = tiny_batch("vlt5")
    visual = model.encoder.visual_embedding
    before = visual(batch["vis_feats"], batch["boxes"])
    with torch.no_grad():
        model.shared.weight[VOCABULARY - 1 - 2] += 1.0
    moved = (visual(batch["vis_feats"], batch["boxes"]) - before).abs().amax(dim=(0, 2)) > 0.5
    assert moved.tolist() == [False, False, True]


def _encoder_input(model, batch):
    """What enters the first block."""
    seen = []
    hook = model.encoder.block[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(**batch)
    hook.remove()
    return seen[0]


@pytest.mark.trap("vlt5-2")
@pytest.mark.trap("vlt5-6")
def test_encoder_input_is_text_then_regions_with_order_embeddings_for_masked_boxes_too():
    """No scaling and no norm on the concatenation; sample 2's boxes are all masked."""
    model = _official_vlt5().eval()
    batch = tiny_batch("vlt5")
    found = _encoder_input(model, batch)
    torch.testing.assert_close(found[:, :6], model.shared.weight[batch["input_ids"]], atol=0, rtol=0)
    all_seen = {**batch, "vis_attention_mask": torch.ones(3, 3, dtype=torch.long)}
    assert torch.equal(found, _encoder_input(model, all_seen))
    visual = model.encoder.visual_embedding
    with torch.no_grad():
        visual.img_order_embedding.weight[0] += 1.0
    torch.testing.assert_close(_encoder_input(model, batch)[:, 6:], found[:, 6:] + 1.0, atol=1e-5, rtol=0)


@pytest.mark.trap("vlt5-5")
def test_without_individual_norms_the_whole_sum_passes_one_norm():
    fields = {**tiny_model("vlt5").config.to_dict(), "use_vis_order_embedding": True}
    model = VLT5(VLT5Config(**{**fields, "individual_vis_layer_norm": False})).eval()
    batch, visual = tiny_batch("vlt5"), model.encoder.visual_embedding
    with torch.no_grad():
        visual.layer_norm.weight.copy_(torch.linspace(0.5, 2.0, 16))
    boxes = batch["boxes"]
    area = (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])
    rows = visual.feat_embedding[0](batch["vis_feats"])
    rows = rows + visual.absolute_vis_pos_embedding[0](torch.cat([boxes, area[..., None]], -1))
    rows = rows + visual.img_order_embedding.weight[0] + model.shared.weight[[39, 38, 37]]
    expected = rows / (rows.square().mean(-1, keepdim=True) + 1e-6).sqrt() * visual.layer_norm.weight
    torch.testing.assert_close(visual(batch["vis_feats"], boxes), expected, atol=1e-5, rtol=0)
    assert [len(visual.feat_embedding), len(visual.absolute_vis_pos_embedding)] == [1, 1]


@pytest.mark.trap("vlt5-7")
def test_share_vis_lang_layer_norm_does_nothing():
    fields, batch = tiny_model("vlt5").config.to_dict(), tiny_batch("vlt5")
    found = []
    for share in (False, True):
        torch.manual_seed(0)
        model = VLT5(VLT5Config(**{**fields, "share_vis_lang_layer_norm": share})).eval()
        found.append((model(**batch).logits, list(model.state_dict())))
    assert torch.equal(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


@pytest.mark.trap("vlt5-12")
def test_scores_are_queries_times_keys_without_a_scale():
    """The first encoder attention by hand, its table read at each text distance, padding and boxes masked."""
    model = tiny_model("vlt5").eval()
    batch = tiny_batch("vlt5")
    layer = model.encoder.block[0].layer[0]
    attention = layer.SelfAttention
    seen = []
    hook = layer.register_forward_hook(lambda _, inputs, output: seen.append((inputs[0], output[0])))
    model(**batch)
    hook.remove()
    hidden, found = seen[0]
    normed = hidden / (hidden.square().mean(-1, keepdim=True) + 1e-6).sqrt() * layer.layer_norm.weight

    def heads_of(projection):
        return (normed @ projection.weight.T).unflatten(-1, (4, 4)).transpose(1, 2)

    scores = heads_of(attention.q) @ heads_of(attention.k).mT
    assert scores.std() > 0.3  # a scale of 1/2 would show
    for query in range(6):
        for key in range(6):  # T5: 32 buckets, the upper half for keys after the query, exact below 8
            bucket = abs(key - query) + (16 if key > query else 0)
            scores[:, :, query, key] += attention.relative_attention_bias.weight[bucket]
    seen_keys = torch.cat([batch["attention_mask"], batch["vis_attention_mask"]], dim=1).bool()
    scores = scores.masked_fill(~seen_keys[:, None, None, :], -torch.inf)
    mixed = (scores.softmax(-1) @ heads_of(attention.v)).transpose(1, 2).flatten(2)
    torch.testing.assert_close(found, hidden + mixed @ attention.o.weight.T, atol=1e-5, rtol=0)


@pytest.mark.trap("vlt5-13")
def test_decoder_has_no_padding_mask():
    """A pad inside the decoder's input (as -100 inside labels leaves it) is a key like any other."""
    model = tiny_model("vlt5").eval()
    batch = without_labels(tiny_batch("vlt5"))
    ids = torch.tensor([[0, 5, 0, 6]] * 3)
    found = model(**batch, decoder_input_ids=ids).logits
    every = model(**batch, decoder_input_ids=ids, decoder_attention_mask=torch.ones(3, 4).long()).logits
    hidden = model(**batch, decoder_input_ids=ids, decoder_attention_mask=ids.ne(0).long()).logits
    torch.testing.assert_close(found, every, atol=1e-6, rtol=0)
    assert (found - hidden)[:, -1].abs().max() > 1e-3


@pytest.mark.trap("vlt5-14")
def test_logits_are_decoder_states_times_the_root_of_the_width_times_the_embedding():
    model = tiny_model("vlt5").eval()
    seen = []
    hook = model.decoder.register_forward_hook(lambda _, __, output: seen.append(output.last_hidden_state))
    found = model(**tiny_batch("vlt5")).logits
    hook.remove()
    torch.testing.assert_close(found, seen[0] * 16**-0.5 @ model.shared.weight.T, atol=1e-5, rtol=0)


@pytest.mark.trap("vlt5-15")
def test_the_loss_without_weights_is_the_mean_over_all_label_tokens():
    """Of all tokens that are not -100, samples do not count alike: they have 3, 5 and 5 tokens."""
    model, batch = tiny_model("vlt5").eval(), tiny_batch("vlt5")
    outputs = model(**batch)
    picked = [
        -outputs.logits[sample, step].log_softmax(-1)[label]
        for sample, labels in enumerate(batch["labels"])
        for step, label in enumerate(labels)
        if label != -100
    ]
    assert len(picked) == 13
    expected = torch.stack(picked).mean()
    loss = ce_loss(outputs.logits, batch["labels"])
    torch.testing.assert_close(loss, expected, atol=1e-5, rtol=0)
    assert outputs.loss is None  # a run's model: nobody reads it
    own = VLT5(model.config).eval()
    own.load_state_dict(model.state_dict())
    torch.testing.assert_close(own(**batch).loss, expected, atol=1e-5, rtol=0)


@pytest.mark.trap("vlt5-10")
def test_relative_bias_only_between_text_tokens():
    model = tiny_model("vlt5").eval()
    batch = tiny_batch("vlt5")
    with record(model) as recorder:
        trace = recorder.trace(model(**batch), batch["labels"])
    first, second = trace.sites["encoder.self"]
    bias = first.bias_BHQK
    assert torch.equal(bias, second.bias_BHQK)
    assert bias[..., :6, :6].abs().min() > 0
    assert torch.all(bias[..., 6:, :] == 0)
    assert torch.all(bias[..., :, 6:] == 0)


@pytest.mark.trap("vlt5-11")
def test_masked_regions_and_padding_change_nothing():
    model = tiny_model("vlt5").eval()
    batch = tiny_batch("vlt5")
    changed = {name: value.clone() for name, value in batch.items()}
    changed["vis_feats"][2] = 50.0
    changed["input_ids"][1, 4:] = 7
    torch.testing.assert_close(model(**changed).logits, model(**batch).logits, atol=1e-5, rtol=0)
    changed["vis_feats"][0] = 50.0
    assert (model(**changed).logits - model(**batch).logits)[0].abs().max() > 1e-3


def test_text_mask_defaults_to_not_pad():
    model = tiny_model("vlt5").eval()
    batch = tiny_batch("vlt5")
    without = {name: value for name, value in batch.items() if name != "attention_mask"}
    assert torch.equal(model(**without).logits, model(**batch).logits)


def test_weights_depend_on_the_seed_alone():
    torch.manual_seed(11)
    first = tiny_model("vlt5", seed=5).state_dict()
    torch.manual_seed(99)
    second = tiny_model("vlt5", seed=5).state_dict()
    other = tiny_model("vlt5", seed=6).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["shared.weight"], other["shared.weight"])


@pytest.mark.parametrize("beams", [1, 3])
def test_generation_with_cache_equals_scoring_without(beams):
    """Greedy: each token is the argmax of a full pass. Beams: no worse than greedy under the model."""
    model = tiny_model("vlt5", seed=4).eval()
    batch = without_labels(tiny_batch("vlt5"))
    options = {"max_new_tokens": 5, "min_new_tokens": 5, "do_sample": False}
    ids = model.generate(**batch, num_beams=beams, length_penalty=0.0, **options)[:, 1:]
    if beams == 1:
        greedy = torch.zeros(3, 0, dtype=torch.long)
        for _ in range(5):
            padded = torch.cat([greedy, torch.zeros(3, 1, dtype=torch.long)], dim=1)
            logits = model(**batch, labels=padded).logits[:, -1]
            logits[:, 1] = -torch.inf
            greedy = torch.cat([greedy, logits.argmax(-1, keepdim=True)], dim=1)
        assert torch.equal(ids, greedy)
    else:
        greedy = model.generate(**batch, num_beams=1, **options)[:, 1:]
        assert torch.all(_log_likelihood(model, batch, ids) >= _log_likelihood(model, batch, greedy) - 1e-5)


def _log_likelihood(model, batch, ids):
    log_probs = model(**batch, labels=ids.contiguous()).logits.log_softmax(-1)
    return log_probs.gather(-1, ids[..., None]).squeeze(-1).sum(-1)


def test_fresh_weights_have_t5_spread():
    """Mesh-TensorFlow's scheme: embeddings 1, q (d dk)^-1/2, k, v, wi d^-1/2, o (H dk)^-1/2, wo dff^-1/2."""
    width, head_size, inner, feed_forward = 16, 4, 16, 32
    spread = {
        ".q.weight": (width * head_size) ** -0.5,
        ".k.weight": width**-0.5,
        ".v.weight": width**-0.5,
        ".o.weight": inner**-0.5,
        ".wi.weight": width**-0.5,
        ".wo.weight": feed_forward**-0.5,
        "relative_attention_bias.weight": width**-0.5,
        "shared.weight": 1.0,
        "feat_embedding.0.weight": 12**-0.5,
        "img_order_embedding.weight": 1.0,
    }
    found = dict.fromkeys(spread, 0)
    for name, weight in _official_vlt5().named_parameters():
        for ending, std in spread.items():
            if name.endswith(ending):
                found[ending] += 1
                assert weight.std().item() == pytest.approx(std, rel=0.25), name
    assert all(found.values())


def test_eager_attention_respects_padding_too():
    """transformers' eager T5 adds its mask to the scores: of a bool mask, 0 and 1."""
    model = tiny_model("vlt5").eval()
    batch = tiny_batch("vlt5")
    expected = model(**batch).logits
    attend_with(model, "eager")
    torch.testing.assert_close(model(**batch).logits, expected, atol=1e-5, rtol=0)


def test_a_config_that_asks_for_eager_attention_gets_it_in_every_part():
    config = tiny_model("vlt5").config
    config._attn_implementation = "eager"
    parts = [module for module in VLT5(config).modules() if hasattr(module, "config")]
    assert len(parts) > 6
    assert {part.config._attn_implementation for part in parts} == {"eager"}
