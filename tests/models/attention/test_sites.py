"""Sites by the paths of attention modules, of models that are built and not run."""

import pytest
from torch import nn

from amad_bench.models.attention.recorder import record
from amad_bench.models.attention.sites import find_layers, sites_of
from tests.models.attention.architectures import GROUPED, IMAGE, OPT, PAIR, TEXT, WORDS, build, make

CROSS = {"is_decoder": True, "add_cross_attention": True}
WITH_CROSS = {**GROUPED, "num_hidden_layers": 3, "cross_attention_layers": [1], "max_position_embeddings": 32}
TWO_VISIONS = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_global_layers": 1,
    "attention_heads": 3,
    "intermediate_size": 32,
    "image_size": 16,
    "patch_size": 8,
    "intermediate_layers_indices": [0],
    "vision_output_dim": 48,
}
RESAMPLED = {
    "text_config": ("MistralConfig", GROUPED),
    "vision_config": IMAGE,
    "perceiver_config": {
        "hidden_size": 24,
        "resampler_n_latents": 2,
        "resampler_depth": 1,
        "resampler_n_heads": 3,
        "resampler_head_dim": 8,
        "num_key_value_heads": 1,
    },
}
MODELS = {
    "OPTForCausalLM": (OPT, {"decoder.self": 2}),
    "LlamaForCausalLM": (("LlamaConfig", GROUPED), {"decoder.self": 2}),
    "BertLMHeadModel": (("BertConfig", TEXT | CROSS), {"decoder.self": 2, "decoder.cross": 2}),
    "BartForCausalLM": (("BartConfig", PAIR), {"decoder.self": 2, "decoder.cross": 2}),
    "GPT2LMHeadModel": (
        ("GPT2Config", {"n_embd": 24, "n_layer": 2, "n_head": 3, "add_cross_attention": True}),
        {"decoder.self": 2, "decoder.cross": 2},
    ),
    "CLIPTextModel": (("CLIPTextConfig", TEXT), {"text.self": 2}),
    "CLIPVisionModel": (("CLIPVisionConfig", IMAGE), {"vision.self": 2}),
    "Idefics2Model": (("Idefics2Config", RESAMPLED), {"vision.self": 2, "decoder.self": 2}),
    "WhisperForAudioClassification": (("WhisperConfig", PAIR), {"encoder.self": 2}),
}


@pytest.mark.parametrize("name", MODELS)
def test_sites_and_numbers_of_layers(name):
    config, sites = MODELS[name]
    assert {site: len(layers) for site, layers in find_layers(build(name, config)).items()} == sites


def test_layers_are_blocks_of_one_stack_in_order():
    model = make("Llama")
    layers = find_layers(model)["decoder.self"]
    assert [layer.block for layer in layers] == list(model.layers)
    assert [layer.module for layer in layers] == [block.self_attn for block in model.layers]
    assert [layer.queries for layer in layers] == [0, 1]


def test_a_layer_is_counted_among_those_of_its_site():
    model = make("BLIP-2's Q-Former")
    layers = find_layers(model)["text.cross"]
    assert [layer.block for layer in layers] == [model.encoder.layer[0], model.encoder.layer[2]]
    assert [layer.queries for layer in layers] == [0, 2]


def test_a_block_without_self_attention_has_the_queries_of_the_one_before():
    """And two stacks of one name are refused only where that is asked for."""
    config = ("MllamaConfig", {"text_config": WITH_CROSS, "vision_config": TWO_VISIONS})
    model = build("MllamaForConditionalGeneration", config)
    layers = find_layers(model)
    assert {site: len(ones) for site, ones in layers.items()} == {"decoder.self": 2, "decoder.cross": 1}
    assert layers["decoder.cross"][0].queries == 0
    assert set(sites_of(model)) == {"decoder.self", "decoder.cross"}
    stacks = r"model.vision_model.transformer.layers and model.vision_model.global_transformer.layers"
    with pytest.raises(ValueError, match=rf"several stacks called 'vision.self', {stacks}: record each"):
        record(model, ["vision.self"]).__enter__()
    with record(model):
        pass
    assert sites_of(model.model.vision_model.transformer) == ("vision.self",)


def test_a_cross_attention_whose_queries_are_not_known_is_refused():
    """Their mask would be that of nobody: two decoders, one of them without a cross-attention."""
    config = ("GPT2Config", WORDS | {"n_embd": 24, "n_layer": 2, "n_head": 3})
    crossing = (config[0], config[1] | {"add_cross_attention": True})
    model = nn.ModuleList([build("GPT2Model", crossing), build("GPT2Model", config)])
    with pytest.raises(ValueError, match=r"stacks called 'decoder.cross', 0.h and 1.h: record each"):
        record(model, ["decoder.cross"]).__enter__()


def test_a_path_that_no_pattern_knows_is_named():
    model = nn.ModuleDict({"strange": make("Llama").layers[0].self_attn})
    with pytest.raises(
        ValueError, match=r"^ModuleDict has no .* known; not strange: no pattern of .*sites.py"
    ):
        sites_of(model)


def test_a_wrapper_around_a_model_changes_nothing():
    assert sites_of(nn.Sequential(make("CLIP"))) == ("text.self", "vision.self")
