"""Meaning of each field of a checkpoint's config.json for a model that starts from its weights.

A field is shown by the tensors, which then must agree with it; obeyed (`models/settings.py`); free, since
nothing that is computed here depends on it or the run's own config decides; or only one value of it is
known here. Whatever else transformers' class has may change numbers: it must have its default.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from transformers import PreTrainedConfig
from transformers.activations import ACT2FN
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.blip.configuration_blip import BlipConfig, BlipTextConfig, BlipVisionConfig
from transformers.models.t5.configuration_t5 import T5Config
from transformers.models.vit.configuration_vit import ViTConfig

from amad_bench.models.settings import FIELDS as OBEYED
from amad_bench.runtime.errors import UserError


class Only(NamedTuple):
    """The values of a field that are known here, and why no others are."""

    values: tuple[Any, ...]
    reason: str


class Fields(NamedTuple):
    """stated: shown, and no default will do; token_ids: these must be the tokenizer's."""

    config: type[PreTrainedConfig]
    shown: tuple[str, ...]
    free: tuple[str, ...]
    only: Mapping[str, Only]
    obeyed: tuple[str, ...] = ()
    token_ids: tuple[str, ...] = ()
    stated: tuple[str, ...] = ()


_ALL_FREE = (
    *("architectures", "model_type", "_name_or_path", "transformers_version", "dtype", "torch_dtype"),
    *("id2label", "label2id", "problem_type", "return_dict", "output_attentions", "output_hidden_states"),
    *("use_cache", "chunk_size_feed_forward", "is_encoder_decoder"),
    *("initializer_range", "initializer_factor", "label_smoothing"),
    *("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout"),
)
_ALL_ONLY = {
    "pruned_heads": Only(({}, None), "heads were taken out of some layers"),
    "per_layer_config": Only(({}, None), "layers differ from each other"),
    "auto_map": Only(({}, None), "the model has code of its own"),
    "quantization_config": Only((None,), "the tensors are no plain numbers"),
}
_SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
_TEXT_SIZES = (*_SIZES, "vocab_size", "max_position_embeddings")
_VISION_SIZES = (*_SIZES, "image_size", "patch_size")

T5 = Fields(
    T5Config,
    shown=(
        *("vocab_size", "d_model", "d_kv", "d_ff", "num_layers", "num_decoder_layers", "num_heads"),
        "relative_attention_num_buckets",
    ),
    free=("dropout_rate",),
    only={
        "is_encoder_decoder": Only((True,), "VL-T5 has both"),
        "is_decoder": Only((False,), "VL-T5 has both"),
        "is_gated_act": Only((False,), "T5 1.1 has a gate in its feed-forward, VL-T5 has none"),
        **dict.fromkeys(
            ("scale_decoder_outputs", "tie_word_embeddings"),
            Only((True,), "T5 1.1 has an output layer beside its embedding, VL-T5 has one table for both"),
        ),
    },
    obeyed=("feed_forward_proj", *OBEYED[T5Config].names),
    token_ids=("pad_token_id", "eos_token_id", "decoder_start_token_id"),
)
BERT = Fields(
    BertConfig,
    stated=_TEXT_SIZES,
    shown=("type_vocab_size", "tie_word_embeddings"),
    free=("bos_token_id", "eos_token_id"),
    only={
        "is_decoder": Only((False,), "BLIP starts from a BERT that reads both ways"),
        "add_cross_attention": Only((False,), "BLIP starts from a BERT that reads text alone"),
        "position_embedding_type": Only(("absolute", None), "BLIP adds a vector to each position"),
    },
    obeyed=OBEYED[BlipTextConfig].names,
    token_ids=("pad_token_id",),
)
VIT = Fields(
    ViTConfig,
    stated=_VISION_SIZES,
    shown=(),
    free=("encoder_stride", "pooler_output_size", "pooler_act"),
    only={
        "qkv_bias": Only((True,), "BLIP's queries, keys and values have biases"),
        "num_channels": Only((3,), "photos have three colours"),
    },
    obeyed=OBEYED[BlipVisionConfig].names,
)
BLIP_TEXT = Fields(
    BlipTextConfig,
    stated=_TEXT_SIZES,
    shown=("tie_word_embeddings",),
    # encoder_hidden_size is replaced by the vision side's width; published configs have a wrong eos_token_id
    free=("encoder_hidden_size", "projection_dim", "eos_token_id"),
    only={"is_decoder": Only((True,), "its text side attends to the image")},
    obeyed=OBEYED[BlipTextConfig].names,
    token_ids=("bos_token_id", "sep_token_id", "pad_token_id"),
)
BLIP_VISION = Fields(
    BlipVisionConfig,
    stated=_VISION_SIZES,
    shown=(),
    free=("projection_dim", "attention_dropout"),
    only={},
    obeyed=OBEYED[BlipVisionConfig].names,
)
BLIP = Fields(
    BlipConfig,
    shown=("text_config", "vision_config", "image_text_hidden_size", "tie_word_embeddings"),
    free=("projection_dim", "logit_scale_init_value"),
    only={},
)


def read_fields(file: Path, raw: Mapping[str, Any], fields: Fields, prefix: str = "") -> PreTrainedConfig:
    """The config that `raw`, the content of `file` or (prefix) a part of it, means to transformers.

    UserError naming the field: a value that is not known here, or an unknown field that is not the default.
    """
    default, only = vars(fields.config()), {**_ALL_ONLY, **fields.only}
    known = {*_ALL_FREE, *only, *fields.stated, *fields.shown, *fields.free, *fields.obeyed}
    known |= set(fields.token_ids)
    for name, value in raw.items():
        if name in default and name not in known and value != default[name]:
            raise UserError(
                f"{file}: {prefix}{name} is {value!r}, and what that changes is not known here; "
                "take other weights"
            )
    _require_known(file, prefix, raw, only)
    config = fields.config.from_dict(dict(raw))
    _require_known(file, prefix, vars(config), fields.only)  # transformers derives some of T5's from others
    _require_bounds(file, prefix, config)
    for name in fields.obeyed:
        value = getattr(config, name)
        if name.endswith(("_act", "_act_fn")) and value not in ACT2FN:
            raise UserError(f"{file}: {prefix}{name} is {value!r}, no activation that transformers knows")
    return config


def _require_known(file: Path, prefix: str, found: Mapping[str, Any], only: Mapping[str, Only]) -> None:
    for name, (values, reason) in only.items():
        if name in found and found[name] not in values:
            raise UserError(
                f"{file}: {prefix}{name} is {found[name]!r}, expected {values[0]!r} ({reason}); "
                "take other weights"
            )


def _require_bounds(file: Path, prefix: str, config: Any) -> None:
    """Values that transformers takes, and then divides by 0 or finds no row for, or makes NaN of."""
    found = vars(config)
    least = {
        "type_vocab_size": 1,
        # beyond the distances that have a bucket each, in a decoder
        "relative_attention_max_distance": found.get("relative_attention_num_buckets", 0) // 2 + 1,
        "layer_norm_eps": 1e-38,
        "layer_norm_epsilon": 1e-38,
    }
    for name, bound in least.items():
        if name in found and not found[name] >= bound:
            raise UserError(
                f"{file}: {prefix}{name} is {found[name]!r}, expected at least {bound:g}; restore it"
            )
