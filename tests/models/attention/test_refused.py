"""What would be recorded wrongly is refused by name; docs/recorder.md lists it."""

import re

import pytest
from transformers.models.qwen2_vl import modeling_qwen2_vl

from amad_bench.models.attention.recorder import record
from amad_bench.models.attention.sites import sites_of
from amad_bench.models.attention.trace import AttentionDomainError
from tests.models.attention.architectures import BATCHES, GROUPED, TEXT, build, make
from tests.models.attention.test_architectures import assert_maps_of_the_eager_model

SWIN = {"image_size": 16, "patch_size": 4, "embed_dim": 12, "num_heads": [3, 3], "window_size": 2}
EXPERTS = {
    "num_local_experts": 2,
    "num_experts_per_tok": 1,
    "max_position_embeddings": 32,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4},
}
ALTERED = {
    "Gemma-2": ("Gemma2Model", ("Gemma2Config", GROUPED), "softcap changes its maps"),
    "GLM-MoE-DSA": (
        "GlmMoeDsaModel",
        (
            "GlmMoeDsaConfig",
            GROUPED
            | {"num_key_value_heads": 4, "q_lora_rank": 8, "kv_lora_rank": 8, "qk_rope_head_dim": 4}
            | {
                "qk_nope_head_dim": 4,
                "v_head_dim": 8,
                "index_head_dim": 8,
                "index_n_heads": 2,
                "index_topk": 2,
            }
            | {"n_routed_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 8},
        ),
        "an indexer chooses its keys",
    ),
    "GPT-OSS": (
        "GptOssModel",
        (
            "GptOssConfig",
            GROUPED | EXPERTS | {"rope_parameters": {"rope_type": "default", "rope_theta": 1e4}},
        ),
        "s_aux changes its maps",
    ),
}
WITHOUT_SITES = {
    "DeBERTa": ("DebertaV2Model", ("DebertaV2Config", TEXT), "attention site that is known"),
    "Swin": (
        "SwinModel",
        ("SwinConfig", SWIN | {"depths": [1, 1]}),
        "encoder.layers.0.blocks.0.attention: it has stages",
    ),
    "ALBERT": (
        "AlbertModel",
        ("AlbertConfig", TEXT),
        "encoder.albert_layer_groups.0.albert_layers.0.attention: its layers are one module",
    ),
    "RoFormer": (
        "RoFormerModel",
        ("RoFormerConfig", TEXT),
        "encoder.layer.0.attention.self: RoFormerSelfAttention is written by hand",
    ),
    "SAM 2": (
        "Sam2HieraDetModel",
        (
            "Sam2HieraDetConfig",
            {
                "hidden_size": 12,
                "num_attention_heads": 3,
                "image_size": [16, 16],
                "blocks_per_stage": [1, 1],
                "embed_dim_per_stage": [12, 24],
                "num_attention_heads_per_stage": [3, 3],
                "window_size_per_stage": [2, 2],
                "global_attention_blocks": [],
            },
        ),
        "blocks.0.attn: it folds windows into the batch",
    ),
}


@pytest.mark.parametrize("name", ALTERED)
def test_what_changes_maps_beyond_scores_and_mask_is_refused(name):
    model, config, message = ALTERED[name]
    network = build(model, config, "eager")
    assert sites_of(network) == ("decoder.self",)
    with (
        record(network),
        pytest.raises(AttentionDomainError, match=f"^site decoder.self, layer 0: {message}"),
    ):
        network(**BATCHES["right"])


def test_gemma_2_without_its_cap_is_right():
    """Its windows and its scale are."""
    model, (config, values), _ = ALTERED["Gemma-2"]
    values = values | {"attn_logit_softcapping": None, "sliding_window": 3, "query_pre_attn_scalar": 10}
    network, batch = build(model, (config, values), "eager"), BATCHES["left"]
    expected = {"decoder.self": network(**batch, output_attentions=True).attentions}
    with record(network) as recorder:
        trace = recorder.trace(network(**batch))
    assert_maps_of_the_eager_model(trace, expected, batch)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # of DeBERTa, before 5.23
@pytest.mark.parametrize("name", WITHOUT_SITES)
def test_attention_that_is_no_map_of_a_layer_has_no_site(name):
    model, config, message = WITHOUT_SITES[name]
    network = build(model, config, "eager" if name in ("DeBERTa", "RoFormer") else "sdpa")
    with pytest.raises(ValueError, match=rf"^{model} has no .*{re.escape(message)}"):
        sites_of(network)
    with pytest.raises(
        ValueError, match=rf"^{model} has no attention site 'vision.self'.*none that is known"
    ):
        record(network, ["vision.self"]).__enter__()


def test_several_images_of_qwen2_vl_are_refused():
    """They are one row of patches, and the attention function is called for each of them."""
    model = make("Qwen2-VL")
    with record(model, ["vision.self"]) as recorder:
        output = model(**BATCHES["Qwen2-VL"])
        with pytest.raises(AttentionDomainError, match=r"^site vision.self, layer 0: .* more than once"):
            recorder.trace(output)


def test_one_image_of_qwen2_vl_is_right(monkeypatch):
    batch = {name: tensor[: len(tensor) // 2] for name, tensor in BATCHES["Qwen2-VL"].items()}
    maps, eager = [], modeling_qwen2_vl.eager_attention_forward

    def kept(*args, **kwargs):
        output = eager(*args, **kwargs)
        maps.append(output[1])
        return output

    with monkeypatch.context() as patch:  # its attention gives no maps back
        patch.setattr(modeling_qwen2_vl, "eager_attention_forward", kept)
        model = make("Qwen2-VL", "eager")
        model(**batch)
    model = make("Qwen2-VL")
    with record(model, ["vision.self"]) as recorder:
        trace = recorder.trace(model(**batch))
    assert_maps_of_the_eager_model(trace, {"vision.self": maps[:2]}, batch)
