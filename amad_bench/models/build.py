"""A model from a run's canonical config, with fresh weights."""

from types import MappingProxyType

import torch
from torch import nn

from amad_bench.data.text.tokenizer import Tokenizer
from amad_bench.models.family import Blueprint, implementation_of
from amad_bench.models.heads import head_partition
from amad_bench.models.settings import with_settings
from amad_bench.models.weights import Settings
from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.run_config import RunConfig


def build_model(
    config: RunConfig,
    tokenizer: Tokenizer,
    positions: int,
    feature_size: int | None = None,
    settings: Settings = MappingProxyType({}),
) -> nn.Module:
    """A run's model, a pre-training's with its objectives; weights depend on `init` seed and sizes only.

    `positions`: of text, by the family's `positions`. `feature_size`: numbers per region, None
    for the raw pixels that the config's `inputs` describe. `settings`: where they are not the
    family's own, those of the weights that will be loaded.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seeds.init)
        family = implementation_of(FAMILIES[config.family])
        all_settings = with_settings(family.settings, settings)
        built = family.build(Blueprint(config, tokenizer, positions, feature_size, all_settings))
    # A class that quietly took its default (BLIP's text: 8) would make every comparison a wrong one.
    found, record = head_partition(built), FAMILIES[config.family]
    asked = {site: config.model.side(record.side_of(site)).heads for site in found}
    if found != asked:
        raise RuntimeError(f"{type(built).__name__} was asked for the heads {asked} and has {found}")
    return built
