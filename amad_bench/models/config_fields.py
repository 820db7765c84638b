"""Meaning of each field of a checkpoint's config.json for a model that starts from its weights.

A field is shown by the tensors, which then must agree with it; obeyed (a setting of its family); free, since
nothing that is computed here depends on it or the run's own config decides; or only one value of it is
known here. Whatever else transformers' class has may change numbers: it must have its default.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from transformers import PreTrainedConfig
from transformers.activations import ACT2FN

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
