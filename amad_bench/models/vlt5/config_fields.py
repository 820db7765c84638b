"""Settings of VL-T5, and the fields of a T5's config.json that starts it."""

from types import MappingProxyType

from transformers.models.t5.configuration_t5 import T5Config

from amad_bench.models.config_fields import Fields, Only
from amad_bench.models.weights import SettingNames, Settings

# of fresh models: T5's
SETTINGS: Settings = MappingProxyType(
    {"dense_act_fn": "relu", "layer_norm_epsilon": 1e-6, "relative_attention_max_distance": 128}
)
SETTINGS_IN = {T5Config: SettingNames("", tuple(SETTINGS))}
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
    obeyed=("feed_forward_proj", *SETTINGS),
    token_ids=("pad_token_id", "eos_token_id", "decoder_start_token_id"),
)
