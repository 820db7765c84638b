"""Start of a pre-trained model: weights, read and placed."""

import re
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from amad_bench.models.checkpoints import checkpoint_weights
from amad_bench.models.family import implementation_of
from amad_bench.models.heads import VOCABULARY_ROWS, cut_to_shape, names_at_depth_of
from amad_bench.models.settings import settings_of
from amad_bench.models.weights import Weights, first_names, listed, own_tensors
from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.run_config import RunConfig, Start
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.paths import amad_data
from amad_bench.runtime.results import RESULTS

_FULL = (64, 128)  # to multiples of these, tables of tokens are filled up, for speed


def start_of(config: RunConfig) -> Start:
    """The start of a run with pre-training; ValueError for a config that names none."""
    if config.start is None:
        raise ValueError(f"{config.id_prefix}: {config.pretraining!r} pre-training, but no start")
    return config.start


def read_start(config: RunConfig) -> Weights:
    """The weights that the `start` of a run names: of another run, or of files below AMAD_DATA.

    Raises UserError where they are absent, broken, not finite or not of the family.
    """
    start = start_of(config)
    if start.run_id is not None:
        return checkpoint_weights(RESULTS.run(start.run_id).checkpoint)
    paths = [amad_data() / path for path in start.checkpoints]
    family = implementation_of(FAMILIES[config.family])
    return family.read_files(paths, config)


def load_start(model: nn.Module, weights: Weights, config: RunConfig) -> dict[str, list[list[int]]]:
    """Fills a run's fresh model from its weights as `heads.cut_to_shape` says, and returns the head map.

    Only what the condition cannot have stays fresh: new tokens (text pre-training), what the family says, and
    text positions that the weights' texts never reached. A model on the meta device is matched only.
    Raises UserError naming what is missing, unexpected or of another shape.
    """
    if not weights.settings.items() <= settings_of(model).items():
        raise ValueError(f"{weights.where}: the model was built without the settings of these weights")
    family = implementation_of(FAMILIES[config.family])
    weights = family.fitted(under_own_names(weights, model), model)
    _check_names(weights, model, config)
    weights = family.kept(weights, model)
    _check_token_ids(weights, model)
    kept = kept_rows(weights, model, config)  # without the rows that are no token
    tensors = {name: weights.tensors[name][:rows] for name, rows in kept.items()}
    start, weights = start_of(config), replace(weights, tensors={**weights.tensors, **tensors})
    return cut_to_shape(weights, model, cut=start.cut, inherit_heads=start.inherit_heads or "first")


def under_own_names(weights: Weights, model: nn.Module) -> Weights:
    """Tied tensors under the name that the model knows them by first; UserError where two of them differ."""
    names = first_names(model)
    tensors: dict[str, Tensor] = {}
    for name, tensor in weights.tensors.items():
        first = names.get(name, name)
        if first in tensors and not torch.equal(tensors[first], tensor):
            raise UserError(
                f"{weights.where}: tensors that this model ties to {first} differ; take other weights"
            )
        tensors[first] = tensor
    return replace(weights, tensors=tensors)


def _check_names(weights: Weights, model: nn.Module, config: RunConfig) -> None:
    """In any depth: how many layers the model has is up to `cut`."""
    family, pretraining = implementation_of(FAMILIES[config.family]), config.pretraining
    expected, found = names_at_depth_of(weights, model), set(weights.tensors)
    missing = expected - found
    for pattern in family.may_be_fresh.get(pretraining, ()):
        part = {name for name in expected if re.search(pattern, name)}
        if part <= missing:
            missing -= part
    left = [part for part in family.may_be_left if not hasattr(model, part)]
    unexpected = {name for name in found - expected if name.split(".")[0] not in left}
    if missing or unexpected:
        raise UserError(
            f"{weights.where}: no weights for {config.family} {config.task} after {pretraining} "
            f"pre-training: missing {listed(sorted(missing))}; unexpected {listed(sorted(unexpected))}; "
            "name others or correct the condition"
        )


def _check_token_ids(weights: Weights, model: nn.Module) -> None:
    """The same number must be the same token to the weights' config.json and to the tokenizer."""
    config: Any = model.config
    own = getattr(config, "text_config", config)
    for name, there in weights.token_ids.items():
        if there is not None and there != getattr(own, name):
            raise UserError(
                f"{weights.where}: {name} is {there} in its config.json, the tokenizer has "
                f"{getattr(own, name)}; take the tokenizer of these weights"
            )


def kept_rows(weights: Weights, model: nn.Module, config: RunConfig) -> dict[str, int]:
    """By table of tokens. A row must be the same token on both sides.

    Only the family's own last ones may be new, after text. Of a table that was filled up, for speed, to a
    multiple of 64 or 128, the rows behind all tokens are not kept. UserError for other numbers of rows.
    """
    new = len(FAMILIES[config.family].tokens.own) if config.pretraining == "text" else 0
    kept = {}
    for name, tensor in own_tensors(model).items():
        if not VOCABULARY_ROWS.search(name) or name not in weights.tensors:
            continue
        there, here = len(weights.tensors[name]), len(tensor)
        words = here - new
        padded = there > here and any(
            there == -(-tokens // full) * full for tokens in (words, here) for full in _FULL
        )
        if not (words <= there <= here or padded):
            raise UserError(
                f"{weights.where}: {name} has {there} rows, the tokenizer {here} tokens; "
                "take the tokenizer of these weights"
            )
        kept[name] = words if padded else there
    return kept
