"""Settings of BLIP, and the fields of the config.json of a BLIP, BERT or ViT that starts it."""

from types import MappingProxyType

from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.blip.configuration_blip import BlipConfig, BlipTextConfig, BlipVisionConfig
from transformers.models.vit.configuration_vit import ViTConfig

from amad_bench.models.config_fields import Fields, Only
from amad_bench.models.weights import SettingNames, Settings

# of fresh models, as in salesforce/BLIP (models/vit.py: 1e-6; transformers' default is 1e-5)
SETTINGS: Settings = MappingProxyType(
    {
        "text.hidden_act": "gelu",
        "text.layer_norm_eps": 1e-12,
        "vision.hidden_act": "gelu",
        "vision.layer_norm_eps": 1e-6,
    }
)
_OBEYED = ("hidden_act", "layer_norm_eps")
SETTINGS_IN = {
    BlipTextConfig: SettingNames("text.", _OBEYED),
    BlipVisionConfig: SettingNames("vision.", _OBEYED),
}
_SIZES = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
_TEXT_SIZES = (*_SIZES, "vocab_size", "max_position_embeddings")
_VISION_SIZES = (*_SIZES, "image_size", "patch_size")

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
    obeyed=_OBEYED,
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
    obeyed=_OBEYED,
)
BLIP_TEXT = Fields(
    BlipTextConfig,
    stated=_TEXT_SIZES,
    shown=("tie_word_embeddings",),
    # encoder_hidden_size is replaced by the vision side's width; published configs have a wrong eos_token_id
    free=("encoder_hidden_size", "projection_dim", "eos_token_id"),
    only={"is_decoder": Only((True,), "its text side attends to the image")},
    obeyed=_OBEYED,
    token_ids=("bos_token_id", "sep_token_id", "pad_token_id"),
)
BLIP_VISION = Fields(
    BlipVisionConfig,
    stated=_VISION_SIZES,
    shown=(),
    free=("projection_dim", "attention_dropout"),
    only={},
    obeyed=_OBEYED,
)
BLIP = Fields(
    BlipConfig,
    shown=("text_config", "vision_config", "image_text_hidden_size", "tie_word_embeddings"),
    free=("projection_dim", "logit_scale_init_value"),
    only={},
)
