"""Plain transformers models cut to smaller ones, against slices written out by hand, in float64."""

import re

import pytest
import torch
from transformers.models.beit.configuration_beit import BeitConfig
from transformers.models.beit.modeling_beit import BeitModel
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.bert.modeling_bert import BertForMaskedLM, BertLMHeadModel, BertModel
from transformers.models.gpt2.configuration_gpt2 import GPT2Config
from transformers.models.gpt2.modeling_gpt2 import GPT2Model
from transformers.models.t5.configuration_t5 import T5Config
from transformers.models.t5.modeling_t5 import T5EncoderModel, T5ForConditionalGeneration
from transformers.models.vit.configuration_vit import ViTConfig
from transformers.models.vit.modeling_vit import ViTForImageClassification, ViTModel

from amad_bench.models.heads import cut
from amad_bench.runtime.errors import UserError
from tests.tiny_models import tiny_model

SIZES = {"layers": 4, "width": 12, "heads": 4, "feed_forward": 20, "words": 15}
SMALLER = {"layers": 2, "width": 8, "heads": 2, "feed_forward": 14, "words": 13}
IDS = torch.tensor([[3, 4, 5, 6], [7, 8, 9, 0]])
CLASSES = {
    "bert": BertModel,
    "bert-mlm": BertForMaskedLM,
    "bert-decoder": BertLMHeadModel,
    "vit": ViTModel,
    "vit-labels": ViTForImageClassification,
    "t5": T5ForConditionalGeneration,
    "t5-untied": T5ForConditionalGeneration,
    "t5-encoder": T5EncoderModel,
}


def _model(kind, seed=0, **changes):
    """Any of CLASSES in float64, every parameter random, so that no swapped bias goes unseen."""
    size = SIZES | changes
    torch.manual_seed(seed)
    if kind.startswith("t5"):
        config = T5Config(
            vocab_size=size["words"],
            d_model=size["width"],
            d_kv=size.get("head_size", 3),
            d_ff=size["feed_forward"],
            num_layers=size["layers"],
            num_decoder_layers=size["layers"],
            num_heads=size["heads"],
            decoder_start_token_id=0,
            tie_word_embeddings=kind != "t5-untied",
        )
    else:
        common = {
            "hidden_size": size["width"],
            "num_hidden_layers": size["layers"],
            "num_attention_heads": size["heads"],
            "intermediate_size": size["feed_forward"],
            "hidden_act": size.get("act", "gelu"),
        }
        if kind.startswith("vit"):
            config = ViTConfig(image_size=size.get("side", 16), patch_size=8, num_labels=5, **common)
        else:
            decodes = kind == "bert-decoder"
            config = BertConfig(
                vocab_size=size["words"],
                type_vocab_size=size.get("types", 2),
                max_position_embeddings=10,
                is_decoder=decodes,
                add_cross_attention=decodes,
                **common,
            )
    model = CLASSES[kind](config).double().eval()
    for parameter in model.parameters():
        parameter.data.copy_(torch.randn(parameter.shape, dtype=torch.float64))
    return model


def _output(model, kind):
    with torch.no_grad():
        if kind.startswith("vit"):
            pixels = torch.linspace(-1, 1, 2 * 3 * 16 * 16, dtype=torch.float64).view(2, 3, 16, 16)
            return model(pixel_values=pixels)[0]
        if kind in ("t5", "t5-untied"):
            return model(input_ids=IDS, decoder_input_ids=IDS).logits
        if kind == "bert-decoder":
            seen = torch.linspace(-1, 1, 2 * 4 * model.config.hidden_size, dtype=torch.float64)
            return model(input_ids=IDS, encoder_hidden_states=seen.view(2, 4, -1)).logits
        return model(input_ids=IDS)[0]


QUERY_KEY_VALUE = re.compile(r"\.(q|k|v|query|key|value|q_proj|k_proj|v_proj)\.(weight|bias)$")
OUT = re.compile(r"(SelfAttention\.o|EncDecAttention\.o|o_proj|attention\.output\.dense)\.weight$")
LAYER = re.compile(r"(?P<before>(?:^|.*?\.)(?:block|layers|encoder\.layer)\.)(?P<layer>\d)(?P<after>\..*)$")


def _sliced(name, tensors, shape, kept, old_size, new_size):
    """A parameter of the smaller model; NaN where a larger head has further channels, which stay fresh."""
    if match := LAYER.match(name):
        # four layers to two: the second and the fourth; T5's one table is the first layer's
        layer = 0 if "relative_attention_bias" in name else {"0": 1, "1": 3}[match["layer"]]
        name = f"{match['before']}{layer}{match['after']}"
    tensor = tensors[name]
    value = torch.full(shape, torch.nan, dtype=torch.float64)
    rows = columns = None
    channels = [(head, g, c) for g, head in enumerate(kept) for c in range(min(old_size, new_size))]
    if QUERY_KEY_VALUE.search(name):
        rows = [(head * old_size + c, g * new_size + c) for head, g, c in channels]
    elif OUT.search(name):
        columns = [(head * old_size + c, g * new_size + c) for head, g, c in channels]
    elif name.endswith("relative_attention_bias.weight"):
        columns = [(head, g) for g, head in enumerate(kept)]
    if tensor.dim() == 1:
        for old, new in rows or [(i, i) for i in range(shape[0])]:
            value[new] = tensor[old]
    elif tensor.dim() == 2:
        for old_row, row in rows or [(i, i) for i in range(shape[0])]:
            for old_column, column in columns or [(i, i) for i in range(shape[1])]:
                value[row, column] = tensor[old_row, old_column]
    elif tensor.dim() == 3:
        value = tensor[:, :, : shape[2]]
    else:
        value = tensor[: shape[0]]
    return value


@pytest.mark.parametrize(("inherit_heads", "kept"), [("first", [0, 1]), ("spread", [0, 2])])
@pytest.mark.parametrize("kind", CLASSES)
def test_each_tensor_is_the_slice_written_out_by_hand(kind, inherit_heads, kept):
    source, target = _model(kind, seed=1), _model(kind, seed=2, **SMALLER)
    before = {name: tensor.clone() for name, tensor in source.state_dict().items()}
    fresh = {name: tensor.clone() for name, tensor in target.state_dict().items()}
    maps = cut(source, target, inherit_heads=inherit_heads)
    # twelve channels of four heads are 3 each, eight of two 4; T5's head size is its own
    sizes = (3, 3) if kind.startswith("t5") else (3, 4)
    checked = 0
    for name, tensor in target.state_dict().items():
        expected = _sliced(name, before, tensor.shape, kept, *sizes)
        known = ~expected.isnan()
        assert torch.equal(tensor[known], expected[known]), name
        assert torch.equal(tensor[~known], fresh[name][~known]), name
        checked += 1
    assert checked >= 20
    sites = {
        "bert": ["encoder.self"],
        "bert-decoder": ["decoder.self", "decoder.cross"],
        "vit": ["vision.self"],
        "t5": ["encoder.self", "decoder.self", "decoder.cross"],
        "t5-encoder": ["encoder.self"],
    }
    own = sites.get(kind) or sites[kind.partition("-")[0]]
    assert maps == {site: [[head] for head in kept] for site in own}
    assert all(torch.equal(tensor, before[name]) for name, tensor in source.state_dict().items())


@pytest.mark.parametrize("how", ["none", "inherit", "remap"])
@pytest.mark.parametrize("kind", CLASSES)
def test_the_same_shape_gives_the_same_outputs(kind, how):
    source, target = _model(kind, seed=1), _model(kind, seed=2)
    expected = _output(source, kind)
    assert not torch.allclose(_output(target, kind), expected)
    cut(source, target, cut=how)
    assert torch.equal(_output(target, kind), expected)


@pytest.mark.parametrize("kind", CLASSES)
def test_remap_keeps_every_projection(kind):
    """Only a head's column of T5's bias table changes: the mean of the two heads it is made of."""
    source = _model(kind, seed=1)
    target = _model(kind, seed=2, heads=2, head_size=6)
    maps = cut(source, target, cut="remap")
    assert set(map(str, maps.values())) == {"[[0, 1], [2, 3]]"}
    old = source.state_dict()
    for name, tensor in target.state_dict().items():
        expected = old[name]
        if "relative_attention_bias" in name:
            expected = torch.stack([expected[:, :2].mean(1), expected[:, 2:].mean(1)], dim=1)
        torch.testing.assert_close(tensor, expected, atol=1e-15, rtol=0)


def test_models_of_this_package_are_cut_likewise():
    source, target = tiny_model("vlt5", heads=4, seed=1), tiny_model("vlt5", heads=2, seed=2)
    assert cut(source, target, cut="remap")["decoder.cross"] == [[0, 1], [2, 3]]
    name = "decoder.block.1.layer.1.EncDecAttention.k.weight"
    assert torch.equal(target.state_dict()[name], source.state_dict()[name])


GPT2 = GPT2Config(vocab_size=10, n_embd=8, n_layer=1, n_head=2, n_positions=8)


@pytest.mark.parametrize(
    ("kind", "how", "changes", "message"),
    [
        ("bert", "inherit", {"heads": 6}, "encoder.self of the model cannot inherit 6 heads from 4; use"),
        ("vit", "inherit", {"layers": 5}, "layers has 4 layers there, 5 in the model; take fewer layers"),
        ("t5", "inherit", {"width": 16}, r"shared.weight is \(15, 12\) there, \(15, 16\) in the model; a"),
        ("bert", "remap", {"width": 8}, r"word_embeddings.weight is \(15, 12\) there, \(15, 8\) in the mo"),
        ("vit", "remap", {"width": 8}, r"cls_token is \(1, 1, 12\) there, \(1, 1, 8\) in the model; use"),
        ("bert", "inherit", {"types": 1}, r"token_type_embeddings.weight is \(2, 12\) there"),
        ("vit", "inherit", {"side": 8}, r"embeddings.position_embeddings is \(1, 5, 12\) there, \(1, 2,"),
        ("bert", "inherit", {"act": "relu"}, "hidden_act is gelu there, relu in the model, which would"),
    ],
)
def test_what_cannot_be_cut_is_one_line(kind, how, changes, message):
    with pytest.raises(UserError, match=f"^{CLASSES[kind].__name__}: .*{message}") as caught:
        cut(_model(kind), _model(kind, **changes), cut=how)
    assert len(str(caught.value).splitlines()) == 1


def test_a_bias_that_belongs_to_heads_in_an_unknown_way_is_refused():
    """BEiT's are tables like T5's outside of the attention: leading columns fit the first heads only."""
    config = BeitConfig(
        hidden_size=12,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=8,
        image_size=16,
        patch_size=8,
        use_relative_position_bias=True,
    )
    with pytest.raises(
        UserError, match=r"^BeitModel: how layers\.0\.relative_position_bias\.\S+ belongs to heads"
    ):
        cut(BeitModel(config), BeitModel(config), inherit_heads="spread")


def test_what_is_not_known_is_one_line():
    with pytest.raises(UserError, match=r"^GPT2Model has an attention that is not known \(h\.0\.attn\); "):
        cut(GPT2Model(GPT2), GPT2Model(GPT2))
    with pytest.raises(UserError, match=r"^Linear has no attention that is known; what can be cut is BERT, "):
        cut(torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    both = torch.nn.ModuleDict({"known": _model("bert"), "other": GPT2Model(GPT2)})
    with pytest.raises(UserError, match=r"^ModuleDict has an attention that is not known \(other\.h\.0"):
        cut(both, both)


def test_another_class_is_one_line():
    with pytest.raises(UserError, match=r"^BertModel: it lacks bert\.embeddings\..* of the BertForMaskedLM"):
        cut(_model("bert"), _model("bert-mlm"))


def test_a_bias_is_never_dropped_without_a_word():
    """ViT's queries, keys and values can be without; then its maps would be others."""
    shape = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8, "image_size": 16}
    models = [
        ViTModel(ViTConfig(**shape, patch_size=8, num_hidden_layers=layers, qkv_bias=bias))
        for layers, bias in ((2, True), (1, False))
    ]
    with pytest.raises(UserError, match=r"ViTModel: layers\.0\.attention\.k_proj\.bias, .* would be dropped"):
        cut(*models)
