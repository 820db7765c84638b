"""VL-T5's facts of METHODS.md, each against a computation that does not use the model's own code path."""

import pytest
import torch

from amad_bench.models.trace import record
from amad_bench.models.vlt5 import VLT5, VLT5Config, box_area
from tests.tiny_models import tiny_batch, tiny_model, without_labels


def test_box_area_true_and_the_official_quirk():
    box = torch.tensor([[[0.1, 0.2, 0.5, 0.9]]])
    assert box_area(box, "true").item() == pytest.approx(0.4 * 0.7, rel=1e-5)
    assert box_area(box, "official").item() == pytest.approx((0.9 - 0.5) * (0.2 - 0.1), rel=1e-5)
    assert box_area(torch.tensor([[[0.1, 0.6, 0.9, 0.8]]]), "official").item() < 0


def _official_vlt5():
    """With the object-order embedding, which the models trained here leave out."""
    return VLT5(VLT5Config(**{**tiny_model("vlt5").config.to_dict(), "use_vis_order_embedding": True}))


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
