"""Every field of transformers' config classes: obeyed, refused by name, or shown to change nothing.

The list of fields is that of the classes themselves; what a field changes is asked of transformers' own
models: with the field changed, and the same tensors, they compute the same or something else.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, PreTrainedConfig, ViTConfig, ViTModel
from transformers.models.blip.configuration_blip import BlipConfig
from transformers.models.blip.modeling_blip import BlipForQuestionAnswering
from transformers.models.t5.configuration_t5 import T5Config
from transformers.models.t5.modeling_t5 import T5ForConditionalGeneration

from amad_bench.models import config_fields
from amad_bench.models.blip import config_fields as of_blip
from amad_bench.models.blip.weights import blip_weights
from amad_bench.models.config_fields import Fields, read_fields
from amad_bench.models.settings import settings_of
from amad_bench.models.start import load_start
from amad_bench.models.vlt5 import config_fields as of_vlt5
from amad_bench.models.vlt5.weights import t5_weights
from amad_bench.runtime.errors import UserError
from tests.models.blip.test_weights import spread_out
from tests.tiny_models import VOCABULARY, built, run_config

SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
TEXT = {**SIZES, "vocab_size": VOCABULARY - 2, "max_position_embeddings": 24, "pad_token_id": 0}
VISION = {**SIZES, "image_size": 16, "patch_size": 8}
BLIP_IDS = {"bos_token_id": 3, "sep_token_id": 1, "eos_token_id": 2}
T5 = {"vocab_size": VOCABULARY, "d_model": 16, "d_kv": 4, "d_ff": 32, "num_layers": 2, "num_heads": 4}
IDS = torch.randint(4, VOCABULARY - 2, (3, 18), generator=torch.Generator().manual_seed(0))
ANSWER = IDS[:, :4].contiguous()
MASK = torch.ones_like(IDS)
MASK[1, 12:] = 0
PIXELS = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
NO_REGIONS = {
    "vis_feats": torch.zeros(3, 3, 12),
    "boxes": torch.zeros(3, 3, 4),
    "vis_attention_mask": torch.zeros(3, 3, dtype=torch.long),
}


class Stock(NamedTuple):
    """A model of transformers, what it computes, and what ours computes that started from its folder."""

    model: type[Any]
    config: Callable[[], PreTrainedConfig]
    computes: Callable[[Any], Tensor]
    ours: Callable[[Any], Tensor]
    condition: str = "text"


def _blip() -> BlipConfig:
    text = {**TEXT, "vocab_size": VOCABULARY, **BLIP_IDS}
    return BlipConfig(text_config=text, vision_config=VISION)


def _text_decoder_logits(model: Any) -> Tensor:
    """Of BLIP's answer to a question without padding, which the stock model attends to."""
    image = model.vision_model(PIXELS).last_hidden_state
    question = model.text_encoder(IDS, attention_mask=torch.ones_like(IDS), encoder_hidden_states=image)
    return model.text_decoder(ANSWER, encoder_hidden_states=question.last_hidden_state).logits


STOCK = {
    "t5": Stock(
        T5ForConditionalGeneration,
        lambda: T5Config(**T5, decoder_start_token_id=0),
        lambda t5: t5(input_ids=IDS, attention_mask=MASK, labels=ANSWER).logits,
        lambda vlt5: vlt5(input_ids=IDS, attention_mask=MASK, labels=ANSWER, **NO_REGIONS).logits,
    ),
    "bert": Stock(
        BertModel,
        lambda: BertConfig(**TEXT),
        lambda bert: bert(IDS, attention_mask=MASK).last_hidden_state,
        lambda blip: blip.text_encoder(IDS, attention_mask=MASK).last_hidden_state,
    ),
    "vit": Stock(
        ViTModel,
        lambda: ViTConfig(**VISION),
        lambda vit: vit(PIXELS).last_hidden_state,
        lambda blip: blip.vision_model(PIXELS).last_hidden_state,
    ),
    "blip": Stock(BlipForQuestionAnswering, _blip, _text_decoder_logits, _text_decoder_logits, "vl"),
}
# where a table stands for a part of a config.json: (stock model, that part)
TABLES = {
    "T5": ("t5", None),
    "BERT": ("bert", None),
    "VIT": ("vit", None),
    "BLIP": ("blip", None),
    "BLIP_TEXT": ("blip", "text_config"),
    "BLIP_VISION": ("blip", "vision_config"),
}
BLIP_TASK = (BlipConfig, "architectures")
NOT_SHOWN = (
    "num_attention_heads",  # by no tensor: see test_blip_weights.py
    "tie_word_embeddings",  # tables that differ are refused whatever it says
    "image_text_hidden_size",  # of the retrieval model alone, which no run starts from
    *("text_config", "vision_config"),  # tables of their own
)
OTHER: dict[str, Any] = {
    "layer_norm_eps": 0.5,
    "layer_norm_epsilon": 0.5,
    "hidden_act": "relu",
    "dense_act_fn": "gelu",
    "feed_forward_proj": "gelu",
    "relative_attention_max_distance": 20,
    "auto_map": {"AutoModel": "modeling.Model"},
    "position_embedding_type": "relative_key",
    "pruned_heads": {"0": [1]},
    "per_layer_config": {"0": {"layer_norm_eps": 0.5}},
    "quantization_config": {"load_in_8bit": True},
    "architectures": ["Other"],
    "_name_or_path": "elsewhere",
    "transformers_version": "4.0.0",
    "dtype": "float16",
    "torch_dtype": "float16",
    "problem_type": "regression",
    "id2label": {"0": "a", "1": "b", "2": "c"},
    "label2id": {"a": 0, "b": 1, "c": 2},
    "pooler_act": "relu",
    "chunk_size_feed_forward": 1,
}


def _table(name: str) -> Fields:
    return of_vlt5.T5 if name == "T5" else getattr(of_blip, name)


def _fields(category: Callable[[Fields], Any]) -> list[tuple[str, str]]:
    return [(name, field) for name in TABLES for field in category(_table(name))]


def _free(fields: Fields) -> list[str]:
    """model_type and BLIP's architectures say which model this is."""
    names = [name for name in (*config_fields._ALL_FREE, *fields.free) if name not in fields.only]
    return [name for name in names if name != "model_type" and (fields.config, name) != BLIP_TASK]


def _shown(fields: Fields) -> list[str]:
    return [name for name in (*fields.stated, *fields.shown) if name not in NOT_SHOWN]


def _changed(value: Any, field: str) -> Any:
    """Another value of the same type."""
    if field in OTHER:
        return OTHER[field]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value * 2 if value else 7
    return 7 if value is None else value + 0.25


def _part(content: dict[str, Any], part: str | None) -> dict[str, Any]:
    return content if part is None else content[part]


def _written(folder: Path, table: str) -> tuple[Path, Stock, nn.Module, dict[str, Any]]:
    kind, _ = TABLES[table]
    stock = STOCK[kind]
    torch.manual_seed(3)
    model = spread_out(stock.model(stock.config()))
    model.save_pretrained(folder)
    return folder, stock, model, json.loads((folder / "config.json").read_text())


def _edit(folder: Path, table: str, field: str, value: Any) -> dict[str, Any]:
    content = json.loads((folder / "config.json").read_text())
    _part(content, TABLES[table][1])[field] = value
    if field == "feed_forward_proj":  # transformers saves what it derives from it, published folders do not
        del content["dense_act_fn"], content["is_gated_act"]
    (folder / "config.json").write_text(json.dumps(content))
    return content


def _weights(folder: Path, table: str) -> Any:
    """What is read from the folder, beside a BERT where it is a ViT."""
    if table == "T5":
        return t5_weights(folder)
    if table == "VIT":
        bert = folder.parent / "bert"
        torch.manual_seed(4)
        BertModel(BertConfig(**TEXT)).save_pretrained(bert)
        return blip_weights([folder, bert], "vqa", "text")
    return blip_weights([folder], "vqa", STOCK[TABLES[table][0]].condition)


def _ours(folder: Path, table: str) -> nn.Module:
    weights = _weights(folder, table)
    family, condition = "vlt5" if table == "T5" else "blip", STOCK[TABLES[table][0]].condition
    config = run_config(family, condition)
    model = built(config, settings=weights.settings)
    load_start(model, weights, config)
    assert weights.settings.items() <= settings_of(model).items()
    return model.eval()


def _stock_with(stock: Stock, model: nn.Module, content: dict[str, Any]) -> Tensor:
    """What transformers computes with the same tensors under a changed config.json."""
    torch.manual_seed(0)
    other = stock.model(stock.model.config_class.from_dict(content)).eval()
    tensors = {name: tensor for name, tensor in model.state_dict().items() if "pooler" not in name}
    missing, unexpected = other.load_state_dict(tensors, strict=False)
    assert unexpected == []
    assert all("pooler" in name for name in missing)
    return stock.computes(other)


@pytest.mark.parametrize("table", TABLES)
def test_no_field_of_transformers_is_forgotten(table: str) -> None:
    fields = _table(table)
    known = {*config_fields._ALL_FREE, *config_fields._ALL_ONLY, *fields.only}.union(
        fields.stated, fields.shown, fields.free, fields.obeyed, fields.token_ids
    )
    assert {name for name in vars(fields.config()) if not name.startswith("_")} <= known


@torch.no_grad()
@pytest.mark.parametrize(("table", "field"), _fields(lambda fields: fields.obeyed))
def test_what_is_obeyed_changes_both_alike(tmp_path: Path, table: str, field: str) -> None:
    folder, stock, model, _ = _written(tmp_path / "model", table)
    before = stock.computes(model)
    torch.testing.assert_close(stock.ours(_ours(folder, table)), before, atol=2e-5, rtol=0)
    changed = _edit(folder, table, field, _changed(None, field))
    expected = _stock_with(stock, model, changed)
    assert (expected - before).abs().max() > 1e-2
    torch.testing.assert_close(stock.ours(_ours(folder, table)), expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize(("table", "field"), _fields(lambda f: {**config_fields._ALL_ONLY, **f.only}))
def test_what_has_one_value_here_is_refused_by_name(tmp_path: Path, table: str, field: str) -> None:
    folder = _written(tmp_path / "model", table)[0]
    only = {**config_fields._ALL_ONLY, **_table(table).only}[field]
    _edit(folder, table, field, _changed(only.values[0], field))
    _refused(folder, table, rf"config\.json: \S*{field} is .*, expected .*; take other weights$")


@pytest.mark.parametrize(("table", "field"), _fields(_shown))
def test_what_the_tensors_show_must_agree_with_them(tmp_path: Path, table: str, field: str) -> None:
    folder, _, model, content = _written(tmp_path / "model", table)
    value = _part(content, TABLES[table][1]).get(field, getattr(model.config, field, None))
    _edit(folder, table, field, _changed(value, field))
    _refused(folder, table, r"tensors|trained with|config\.json says|restore the config\.json")


@torch.no_grad()
@pytest.mark.parametrize(("table", "field"), _fields(_free))
def test_what_is_free_changes_nothing_in_transformers_either(tmp_path: Path, table: str, field: str) -> None:
    folder, stock, model, content = _written(tmp_path / "model", table)
    before = _weights(folder, table)
    value = _part(content, TABLES[table][1]).get(field, vars(_table(table).config()).get(field))
    changed = _edit(folder, table, field, _changed(value, field))
    # how the tensors were stored, which are read as float32, and the type of what is returned
    if field not in ("dtype", "torch_dtype", "return_dict"):
        torch.testing.assert_close(_stock_with(stock, model, changed), stock.computes(model))
    after = _weights(folder, table)
    assert after.settings == before.settings
    assert after.heads == before.heads
    assert all(torch.equal(after.tensors[name], tensor) for name, tensor in before.tensors.items())


@pytest.mark.parametrize(("table", "field"), _fields(lambda fields: fields.token_ids))
def test_token_ids_must_be_those_of_the_tokenizer(tmp_path: Path, table: str, field: str) -> None:
    folder = _written(tmp_path / "model", table)[0]
    _ours(folder, table)
    _edit(folder, table, field, 9)
    with pytest.raises(UserError, match=rf"{field} is 9 in its config.json, the tokenizer has \d; take the"):
        _ours(folder, table)


def test_a_field_that_a_later_transformers_adds_is_refused_unless_it_is_the_default(tmp_path: Path) -> None:
    raw = BertConfig(**TEXT).to_dict()
    unknown = of_blip.BERT._replace(free=())  # as if eos_token_id were new
    read_fields(tmp_path / "config.json", raw, unknown)
    with pytest.raises(UserError, match="eos_token_id is 5, and what that changes is not known here"):
        read_fields(tmp_path / "config.json", raw | {"eos_token_id": 5}, unknown)


@pytest.mark.parametrize(("table", "field"), [("BERT", "hidden_act"), ("T5", "dense_act_fn")])
def test_an_activation_that_nobody_knows_is_refused(tmp_path: Path, table: str, field: str) -> None:
    folder = _written(tmp_path / "model", table)[0]
    _edit(folder, table, field, "softsign2")
    _refused(folder, table, f"{field} is 'softsign2', no activation that transformers knows")


def _refused(folder: Path, table: str, match: str) -> None:
    with pytest.raises(UserError, match=match) as caught:
        _weights(folder, table)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
