"""Numbers of a model that no tensor shows: activations, epsilons, T5's longest distance.

Like the heads, they are part of a checkpoint: the same tensors compute something else with others.
"""

from types import MappingProxyType
from typing import Any, NamedTuple

from torch import nn
from transformers import PreTrainedConfig
from transformers.models.blip.configuration_blip import BlipTextConfig, BlipVisionConfig
from transformers.models.t5.configuration_t5 import T5Config

from amad_bench.models.weights import Settings

# Of fresh models: T5's, and those of salesforce/BLIP (models/vit.py: 1e-6; transformers' default is 1e-5).
VLT5_SETTINGS: Settings = MappingProxyType(
    {"dense_act_fn": "relu", "layer_norm_epsilon": 1e-6, "relative_attention_max_distance": 128}
)
BLIP_SETTINGS: Settings = MappingProxyType(
    {
        "text.hidden_act": "gelu",
        "text.layer_norm_eps": 1e-12,
        "vision.hidden_act": "gelu",
        "vision.layer_norm_eps": 1e-6,
    }
)


class _Obeyed(NamedTuple):
    prefix: str
    names: tuple[str, ...]


FIELDS = {
    T5Config: _Obeyed("", tuple(VLT5_SETTINGS)),
    BlipTextConfig: _Obeyed("text.", ("hidden_act", "layer_norm_eps")),
    BlipVisionConfig: _Obeyed("vision.", ("hidden_act", "layer_norm_eps")),
}


def settings_in(config: Any, part: type[PreTrainedConfig]) -> dict[str, str | int | float]:
    """The settings that a config has for a part of our models (one of FIELDS), whose names it shares."""
    return {FIELDS[part].prefix + name: getattr(config, name) for name in FIELDS[part].names}


def settings_of(model: nn.Module) -> dict[str, str | int | float]:
    """Settings of VLT5, BLIP and what pre-trains them; ValueError where two parts of a model differ."""
    found: dict[str, str | int | float] = {}
    for module in model.modules():
        config = getattr(module, "config", None)
        for part in FIELDS:
            if not isinstance(config, part):
                continue
            for name, value in settings_in(config, part).items():
                if found.setdefault(name, value) != value:
                    raise ValueError(
                        f"{type(module).__name__} has {name} {value}, another part {found[name]}"
                    )
    return found


def with_settings(defaults: Settings, given: Settings) -> dict[str, str | int | float]:
    """The defaults but for what is given; ValueError for a name that is not among them."""
    if unknown := set(given) - set(defaults):
        raise ValueError(f"{', '.join(sorted(unknown))}: no setting of this family ({', '.join(defaults)})")
    return {**defaults, **given}
