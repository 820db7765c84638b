"""Students cut out of a teacher: what they compute, and which numbers they hold."""

import copy

import pytest
import torch

from amad_bench.models.attention.recorder import record
from amad_bench.models.heads import cut_to_shape, head_partition
from amad_bench.models.weights import Weights, own_tensors
from amad_bench.runtime.errors import UserError
from tests.tiny_models import (
    KINDS,
    SITES,
    VOCABULARY,
    built,
    run_config,
    shaped_model,
    tiny_batch,
    tiny_model,
)


def _model(kind, seed=0, vocabulary=VOCABULARY, positions=24, **changes):
    """Like the tiny models, of any shape; every parameter random, so that no swapped bias goes unseen."""
    model = shaped_model(kind, seed, vocabulary, positions, **changes)
    generator = torch.Generator().manual_seed(seed + 100)
    for parameter in model.parameters():
        parameter.data.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def _weights(model):
    tensors = {name: tensor.clone() for name, tensor in own_tensors(model).items()}
    return Weights(tensors, head_partition(model), "there")


def _outputs(model, kind):
    output = model(**tiny_batch(kind))
    return output.logits


def _zeroed(model):
    """Fresh channels as nothing: what a student computes is then what it inherited."""
    for parameter in model.parameters():
        parameter.data.zero_()
    return model


OUTPUT_PROJECTIONS = (".o", ".self_attn.projection", "attention.output.dense")


def _without_heads(teacher, kept, heads):
    """The teacher whose other heads give nothing to the output projection, by hooks."""
    model = copy.deepcopy(teacher)

    def keep(module, args):
        size = module.in_features // heads
        mask = torch.zeros(module.in_features)
        for head in kept:
            mask[head * size : (head + 1) * size] = 1
        return (args[0] * mask,)

    found = 0
    for name, module in model.named_modules():
        if name.endswith(OUTPUT_PROJECTIONS):
            module.register_forward_pre_hook(keep)
            found += 1
    assert found >= 2 * len(head_partition(model))
    return model


@pytest.mark.trap("site-1")
@pytest.mark.parametrize("kind", KINDS)
def test_the_partition_is_what_the_recorder_sees(kind):
    model = tiny_model(kind, heads=2)
    batch = tiny_batch(kind)
    with record(model, SITES[kind]) as recorder:
        trace = recorder.trace(model(**batch), batch["labels"])
    assert head_partition(model) == {
        site: layers[0].query_BHQD.shape[1] for site, layers in trace.sites.items()
    }
    assert set(head_partition(model).values()) == {2}


def test_pretrainers_have_the_partition_of_their_weights():
    def partition(family, condition, **options):
        return head_partition(built(run_config(family, condition, pretrains=True, **options)))

    t5 = dict.fromkeys(SITES["vlt5"], 4)
    assert partition("vlt5", "text") == partition("vlt5", "vl") == t5
    assert partition("blip", "text") == {"text.self": 4, "decoder.self": 4}
    assert partition("blip", "vl") == dict.fromkeys(SITES["blip-vqa"], 4)
    assert partition("blip", "vl", momentum_distillation=True) == dict.fromkeys(SITES["blip-vqa"], 4)


def test_layers_that_differ_and_models_without_attention_are_no_partition():
    model = tiny_model("vlt5")
    model.encoder.block[1].layer[0].SelfAttention.n_heads = 2
    with pytest.raises(ValueError, match=r"block\.1\..* has 2 heads, another layer of encoder.self has 4"):
        head_partition(model)
    with pytest.raises(ValueError, match="Linear has no attention"):
        head_partition(torch.nn.Linear(2, 2))


@pytest.mark.parametrize("cut", ["none", "inherit", "remap"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_shape_gives_the_same_function(kind, cut):
    teacher, student = _model(kind, seed=1), _model(kind, seed=2)
    assert not torch.equal(_outputs(teacher, kind), _outputs(student, kind))
    maps = cut_to_shape(_weights(teacher), student, cut=cut, inherit_heads="spread")
    assert maps == {site: [[0], [1], [2], [3]] for site in SITES[kind]}
    assert torch.equal(_outputs(teacher, kind), _outputs(student, kind))


@pytest.mark.trap("heads-7")
@pytest.mark.parametrize(("inherit_heads", "kept"), [("first", [0, 1]), ("spread", [0, 2])])
def test_inherited_t5_heads_compute_what_they_did(inherit_heads, kept):
    """All sites at once: encoder, decoder and cross-attention, with their columns of the bias tables."""
    teacher = _model("vlt5", seed=1)
    student = _model("vlt5", seed=2, heads=2)
    assert student.encoder.block[0].layer[0].SelfAttention.q.weight.shape == (8, 16)
    maps = cut_to_shape(_weights(teacher), student, cut="inherit", inherit_heads=inherit_heads)
    assert maps == {site: [[head] for head in kept] for site in SITES["vlt5"]}
    expected = _outputs(_without_heads(teacher, kept, heads=4), "vlt5")
    assert not torch.allclose(expected, _outputs(teacher, "vlt5"), atol=1e-2)
    torch.testing.assert_close(_outputs(student, "vlt5"), expected, atol=1e-5, rtol=1e-5)


def test_twelve_t5_heads_give_eight():
    teacher = _model("vlt5", seed=1, heads=12, head_size=2)
    student = _model("vlt5", seed=2, heads=8, head_size=2)
    cut_to_shape(_weights(teacher), student, cut="inherit", inherit_heads="spread")
    kept = [0, 1, 3, 4, 6, 7, 9, 10]
    expected = _outputs(_without_heads(teacher, kept, heads=12), "vlt5")
    torch.testing.assert_close(_outputs(student, "vlt5"), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.trap("heads-7")
@pytest.mark.parametrize(("inherit_heads", "kept"), [("first", [0, 1]), ("spread", [0, 2])])
@pytest.mark.parametrize("kind", ["blip-vqa", "blip-captioning"])
def test_inherited_blip_heads_compute_what_they_did(kind, inherit_heads, kept):
    """Two heads of 8 channels from four of 4: with nothing in the further channels, and the smaller heads'
    scale put back, the student is a teacher without its other heads."""
    teacher, student = _model(kind, seed=1), _zeroed(_model(kind, seed=2, heads=2, head_size=8))
    cut_to_shape(_weights(teacher), student, cut="inherit", inherit_heads=inherit_heads)
    for name, parameter in student.named_parameters():
        if "self.query" in name:
            parameter.data *= 2**0.5
        if "qkv" in name:
            parameter.data[:16] *= 2**0.5
    expected = _outputs(_without_heads(teacher, kept, heads=4), kind)
    assert not torch.allclose(expected, _outputs(teacher, kind), atol=1e-2)
    torch.testing.assert_close(_outputs(student, kind), expected, atol=1e-5, rtol=1e-5)


def test_further_channels_of_a_larger_head_stay_fresh():
    """Four heads of 4 to two of 8: rows 0-3 and 8-11 are inherited, rows 4-7 and 12-15 stay."""
    teacher, student = _model("blip-vqa", seed=1), _model("blip-vqa", seed=2, heads=2, head_size=8)
    fresh, old = copy.deepcopy(student), _weights(teacher).tensors
    cut_to_shape(_weights(teacher), student, cut="inherit", inherit_heads="spread")
    new, before = own_tensors(student), own_tensors(fresh)
    name = "text_encoder.encoder.layer.1.crossattention.self.key.bias"
    assert torch.equal(new[name][0:4], old[name][0:4])
    assert torch.equal(new[name][8:12], old[name][8:12])
    assert torch.equal(new[name][4:8], before[name][4:8])
    assert torch.equal(new[name][12:16], before[name][12:16])
    name = "vision_model.encoder.layers.0.self_attn.qkv.weight"
    for part in (0, 16, 32):
        assert torch.equal(new[name][part : part + 4], old[name][part : part + 4])
        assert torch.equal(new[name][part + 8 : part + 12], old[name][part + 8 : part + 12])
        assert torch.equal(new[name][part + 4 : part + 8], before[name][part + 4 : part + 8])


def test_fewer_layers_and_narrower_vlt5_by_hand():
    """Five layers to two: round(1 * 5 / 2) - 1 = 2 with halves up, and 4. Two of four heads: 0 and 2."""
    teacher = _model("vlt5", seed=1, layers=5)
    student = _model("vlt5", seed=2, layers=2, width=8, heads=2, feed_forward=12)
    cut_to_shape(_weights(teacher), student, cut="inherit", inherit_heads="spread")
    old, new = _weights(teacher).tensors, own_tensors(student)
    rows = [0, 1, 2, 3, 8, 9, 10, 11]
    for layer, source in ((0, 2), (1, 4)):
        for stack, path, feed_forward in (
            ("encoder", "layer.0.SelfAttention", 1),
            ("decoder", "layer.0.SelfAttention", 2),
            ("decoder", "layer.1.EncDecAttention", 2),
        ):
            here, there = f"{stack}.block.{layer}.", f"{stack}.block.{source}."
            for part in "qkv":
                expected = old[f"{there}{path}.{part}.weight"][rows][:, :8]
                assert torch.equal(new[f"{here}{path}.{part}.weight"], expected)
            assert torch.equal(new[f"{here}{path}.o.weight"], old[f"{there}{path}.o.weight"][:8][:, rows])
            dense = f"layer.{feed_forward}.DenseReluDense"
            assert torch.equal(new[f"{here}{dense}.wi.weight"], old[f"{there}{dense}.wi.weight"][:12, :8])
            assert torch.equal(new[f"{here}{dense}.wo.weight"], old[f"{there}{dense}.wo.weight"][:8, :12])
            norm = f"layer.{feed_forward}.layer_norm.weight"
            assert torch.equal(new[here + norm], old[there + norm][:8])
    table = ".block.0.layer.0.SelfAttention.relative_attention_bias.weight"
    for stack in ("encoder", "decoder"):
        assert torch.equal(new[stack + table], old[stack + table][:, [0, 2]])
    assert torch.equal(new["shared.weight"], old["shared.weight"][:, :8])
    features = "encoder.visual_embedding.feat_embedding.0.weight"
    assert torch.equal(new[features], old[features][:8])
    assert torch.equal(student.lm_head.weight, student.shared.weight)


def test_fewer_layers_and_narrower_blip_by_hand():
    teacher = _model("blip-vqa", seed=1, layers=3, vocabulary=44, positions=30)
    student = _model("blip-vqa", seed=2, layers=2, width=8, heads=2, feed_forward=12)
    cut_to_shape(_weights(teacher), student, cut="inherit", inherit_heads="first")
    old, new = _weights(teacher).tensors, own_tensors(student)
    # three layers to two: round(1.5) - 1 = 1 and 2
    for layer, source in ((0, 1), (1, 2)):
        here, there = f"vision_model.encoder.layers.{layer}.", f"vision_model.encoder.layers.{source}."
        rows = [*range(8), *range(16, 24), *range(32, 40)]
        for part, index in (("qkv.weight", (rows, slice(8))), ("qkv.bias", (rows,))):
            assert torch.equal(new[f"{here}self_attn.{part}"], old[f"{there}self_attn.{part}"][index])
        projection = "self_attn.projection"
        assert torch.equal(new[f"{here}{projection}.weight"], old[f"{there}{projection}.weight"][:8, :8])
        assert torch.equal(new[f"{here}{projection}.bias"], old[f"{there}{projection}.bias"][:8])
        assert torch.equal(new[f"{here}mlp.fc1.bias"], old[f"{there}mlp.fc1.bias"][:12])
        here, there = (
            f"text_decoder.bert.encoder.layer.{layer}.",
            f"text_decoder.bert.encoder.layer.{source}.",
        )
        for attention in ("attention", "crossattention"):
            dense = f"{attention}.output.dense"
            assert torch.equal(new[f"{here}{dense}.weight"], old[f"{there}{dense}.weight"][:8, :8])
            assert torch.equal(new[f"{here}{dense}.bias"], old[f"{there}{dense}.bias"][:8])
            norm = f"{attention}.output.LayerNorm.bias"
            assert torch.equal(new[here + norm], old[there + norm][:8])
    words = "text_encoder.embeddings.word_embeddings.weight"
    assert torch.equal(new[words], old[words][:40, :8])
    positions = "text_decoder.bert.embeddings.position_embeddings.weight"
    assert torch.equal(new[positions], old[positions][:24, :8])
    assert torch.equal(
        new["text_decoder.cls.predictions.bias"], old["text_decoder.cls.predictions.bias"][:40]
    )
    patch = "vision_model.embeddings.patch_embedding.weight"
    assert torch.equal(new[patch], old[patch][:8])
    grid = "vision_model.embeddings.position_embedding"
    assert torch.equal(new[grid], old[grid][:, :, :8])


def test_rows_that_the_weights_lack_stay_fresh():
    teacher, student = _model("vlt5", seed=1), _model("vlt5", seed=2, vocabulary=46)
    fresh = student.shared.weight.detach().clone()
    cut_to_shape(_weights(teacher), student, cut="none")
    assert torch.equal(student.shared.weight[:40], teacher.shared.weight)
    assert torch.equal(student.shared.weight[40:], fresh[40:])


@pytest.mark.parametrize(("old", "new"), [(4, 2), (2, 4), (6, 4), (4, 6), (3, 2)])
def test_remapped_bias_columns_are_means_by_shared_channels(old, new):
    inner = 24
    teacher = _model("vlt5", seed=1, heads=old, head_size=inner // old)
    student = _model("vlt5", seed=2, heads=new, head_size=inner // new)
    maps = cut_to_shape(_weights(teacher), student, cut="remap")
    for name, tensor in own_tensors(student).items():
        source = own_tensors(teacher)[name]
        if "relative_attention_bias" not in name:
            assert torch.equal(tensor, source), name
            continue
        for g in range(new):
            owners = [channel // (inner // old) for channel in range(inner) if channel // (inner // new) == g]
            expected = torch.stack([source[:, head] for head in owners]).double().mean(0)
            torch.testing.assert_close(tensor[:, g].double(), expected, atol=1e-6, rtol=1e-6)
            assert maps["encoder.self"][g] == sorted(set(owners))


@pytest.mark.parametrize("kind", KINDS)
def test_remap_there_and_back(kind):
    """To more heads and back nothing is lost; BLIP keeps every tensor as it is."""
    teacher, finer, back = (
        _model(kind, seed=1),
        _model(kind, seed=2, heads=8, head_size=2),
        _model(kind, seed=3),
    )
    cut_to_shape(_weights(teacher), finer, cut="remap")
    assert not torch.allclose(_outputs(finer, kind), _outputs(teacher, kind), atol=1e-3)
    cut_to_shape(_weights(finer), back, cut="remap")
    torch.testing.assert_close(_outputs(back, kind), _outputs(teacher, kind), atol=1e-6, rtol=1e-6)


def test_remap_through_fewer_heads_returns_where_their_bias_was_equal():
    teacher = _model("vlt5", seed=1)
    for stack in (teacher.encoder, teacher.decoder):
        table = stack.block[0].layer[0].SelfAttention.relative_attention_bias.weight
        table.data[:, 1], table.data[:, 3] = table[:, 0], table[:, 2]
    coarser, back = _model("vlt5", seed=2, heads=2, head_size=8), _model("vlt5", seed=3)
    cut_to_shape(_weights(teacher), coarser, cut="remap")
    cut_to_shape(_weights(coarser), back, cut="remap")
    assert torch.equal(_outputs(back, "vlt5"), _outputs(teacher, "vlt5"))


def test_another_word_for_cut_is_a_bug():
    with pytest.raises(ValueError, match="cut 'copy' is none of none, inherit, remap"):
        cut_to_shape(_weights(_model("vlt5")), _model("vlt5"), cut="copy")


def test_remap_with_fewer_layers():
    teacher = _model("vlt5", seed=1, layers=4)
    student = _model("vlt5", seed=2, layers=2, heads=2, head_size=8)
    cut_to_shape(_weights(teacher), student, cut="remap")
    old, new = own_tensors(teacher), own_tensors(student)
    for layer, source in ((0, 1), (1, 3)):
        name = "decoder.block.{}.layer.1.EncDecAttention.k.weight"
        assert torch.equal(new[name.format(layer)], old[name.format(source)])


@pytest.mark.parametrize("kind", KINDS)
def test_the_weights_stay_as_they_are(kind):
    teacher, students = _model(kind, seed=1), {}
    weights, copies = _weights(teacher), _weights(teacher)
    students["inherit"] = _model(kind, seed=2, layers=1, heads=2, head_size=8)
    students["remap"] = _model(kind, seed=2, heads=2, head_size=8)
    for cut, student in students.items():
        cut_to_shape(weights, student, cut=cut)
        for parameter in student.parameters():
            parameter.data.add_(1.0)
    assert all(torch.equal(tensor, copies.tensors[name]) for name, tensor in weights.tensors.items())


@pytest.mark.trap("heads-6")
@pytest.mark.parametrize(
    ("kind", "cut", "changes", "message"),
    [
        ("vlt5", "none", {"heads": 2}, "4 heads at encoder.self, 2 in the model; use `cut: inherit` or"),
        ("blip-vqa", "none", {"heads": 2, "head_size": 8}, "4 heads at vision.self, 2 in the model"),
        ("vlt5", "none", {"width": 8}, r"shared.weight is \(40, 16\) there, \(40, 8\) in the model; use"),
        (
            "vlt5",
            "none",
            {"layers": 1},
            r"encoder.block has 2 layers there, 1 in the model; use `cut: inh",
        ),
        ("vlt5", "inherit", {"layers": 3}, "encoder.block has 2 layers there, 3 in the model; take fewer"),
        (
            "vlt5",
            "inherit",
            {"heads": 8},
            "encoder.self of the model cannot inherit 8 heads from 4; use `cut",
        ),
        (
            "vlt5",
            "inherit",
            {"width": 24},
            r"\(40, 16\) there, \(40, 24\) in the model; a model can inherit fr",
        ),
        (
            "vlt5",
            "remap",
            {"heads": 2},
            r"q.weight is \(16, 16\) there, \(8, 16\) in the model; use `cut: i",
        ),
        ("vlt5", "remap", {"width": 8}, r"shared.weight is \(40, 16\) there, \(40, 8\) in the model; use"),
    ],
)
def test_what_does_not_fit_is_one_line_with_both_shapes(kind, cut, changes, message):
    with pytest.raises(UserError, match=f"^there: .*{message}") as caught:
        cut_to_shape(_weights(_model(kind)), _model(kind, **changes), cut=cut)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("kind", "name", "axis"),
    [
        ("vlt5", "encoder.visual_embedding.feat_embedding.0.weight", 1),
        ("vlt5", "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", 0),
        ("blip-vqa", "vision_model.embeddings.patch_embedding.weight", 1),
        ("blip-vqa", "vision_model.embeddings.patch_embedding.weight", 2),
        ("blip-vqa", "vision_model.embeddings.patch_embedding.weight", 3),
        ("blip-vqa", "vision_model.embeddings.position_embedding", 1),
    ],
)
def test_what_is_no_channel_is_not_cut(kind, name, axis):
    """Leading features, pixels or distances of another input would be other things."""
    weights = _weights(_model(kind))
    longer = {**weights.tensors, name: torch.cat([weights.tensors[name]] * 2, axis)}
    with pytest.raises(UserError, match=f"there: {name} is"):
        cut_to_shape(Weights(longer, weights.heads, "there"), _model(kind), cut="inherit")
