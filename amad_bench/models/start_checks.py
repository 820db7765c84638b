"""Whether models can start from the weights that a config names: what `doctor` says of them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import nn

from amad_bench.data.doctor.tasks import Check
from amad_bench.data.text.tokenizer import Tokenizer, load_folder_tokenizer
from amad_bench.models.weights import Settings, listed
from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.config.inputs import ExtractedInputs, FeatureInputs, Inputs
from amad_bench.plan.config.schema import Config
from amad_bench.plan.datafiles import Source, missing
from amad_bench.plan.grid import possible_runs
from amad_bench.plan.run_config import RunConfig, canonical_json
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.paths import amad_data

# of a run's config: all that its weights must fit
_FITTING = {"family", "pretraining", "model", "inputs", "inputs_hash", "tokenizer", "start"}
Sizes = tuple[Tokenizer, int | None]
# paths, family, condition, and the task where the family reads files otherwise for each
_Checkpoint = tuple[tuple[str, ...], str, str, str | None]


@dataclass
class _Model:
    """A model that starts from a checkpoint. config: of one of its runs; entries: an ordered set of names."""

    config: RunConfig
    entries: dict[str, None] = field(default_factory=dict)


def examine_weights(config: Config) -> list[Check]:
    """Facts that each checkpoint that is there says of itself, or the error that no model can start from it.

    Each is read once, and matched with the models of every shape that start from it: the errors are those of
    their runs. The models take no memory.
    """
    found: dict[tuple[str, bool], dict[str, None]] = {}
    sizes_of = cache(_sizes)
    for (paths, *_), models in _checkpoints(config).items():
        for text, ok, model in _examined(paths, list(models.values()), sizes_of):
            found.setdefault((text, ok), {}).update(model.entries)
    return [Check(", ".join(entries), text, ok) for (text, ok), entries in found.items()]


def _checkpoints(config: Config) -> dict[_Checkpoint, dict[str, _Model]]:
    """Those that are there, each with the models that start from it."""
    found: dict[_Checkpoint, dict[str, _Model]] = {}
    for entry in config.tasks:
        for run in possible_runs(config, entry):
            start = run.config.start
            paths = tuple(start.checkpoints) if start else ()
            if not paths or missing([Source(path, "checkpoint") for path in paths]):
                continue
            task = entry.task if FAMILIES[entry.family].weights_by_task else None
            checkpoint = paths, entry.family, run.config.pretraining, task
            alike = canonical_json([run.config.model_dump(include=_FITTING), task])
            model = found.setdefault(checkpoint, {}).setdefault(alike, _Model(run.config))
            model.entries[" ".join(entry.axes)] = None
    return found


def _examined(
    paths: tuple[str, ...], models: list[_Model], sizes_of: Callable[..., Sizes]
) -> Iterator[tuple[str, bool, _Model]]:
    """A line for each model that starts from a checkpoint, and whether it can."""
    from amad_bench.models.start import load_start, read_start  # transformers: slow to import
    from amad_bench.models.start_facts import start_facts

    try:
        weights = read_start(models[0].config)
    except UserError as error:
        yield from ((str(error), False, model) for model in models)
        return
    for model in models:
        try:
            built = _without_memory(model.config, sizes_of, weights.settings)
        except UserError:
            continue  # no tokenizer or vision model to go by: said of the files, or by `examine_tasks`
        try:
            load_start(built, weights, model.config)
        except UserError as error:
            yield str(error), False, model
        else:
            yield _described(paths, start_facts(weights, built, model.config)), True, model


def _described(paths: tuple[str, ...], facts: dict[str, Any]) -> str:
    sites: dict[str, list[str]] = {}
    for site, heads in facts["heads"].items():
        sites.setdefault(heads, []).append(site)
    heads = "; ".join(f"{', '.join(names)}: {heads}" for heads, names in sites.items())
    parts = [f"heads by {facts['heads_from']}: {heads}"]
    if facts["left_out"]:
        parts.append(f"not taken: {listed(facts['left_out'])}")
    if facts["colours"]:
        parts.append(f"colours: {facts['colours']}")
    if facts["padding_rows"]:
        parts.append(f"{facts['padding_rows']} rows of padding behind the vocabulary not taken")
    return f"{', '.join(paths)}: {'; '.join(parts)}"


def _without_memory(config: RunConfig, sizes_of: Callable[..., Sizes], settings: Settings) -> nn.Module:
    """The model of a run on the meta device; UserError where its tokenizer or vision model cannot be read."""
    from amad_bench.models.build import build_model  # transformers: slow to import

    tokenizer, feature_size = sizes_of(config.family, config.tokenizer.folder, config.inputs)
    with torch.device("meta"):
        return build_model(config, tokenizer, 1, feature_size, settings)  # any number of positions fits


def _sizes(family: str, tokenizer: str | None, inputs: Inputs) -> Sizes:
    """The tokenizer, and the numbers per region where `inputs` have features."""
    if tokenizer is None:
        raise ValueError("weights from files need a tokenizer from a folder")
    feature_size = inputs.size if isinstance(inputs, FeatureInputs) else None
    if isinstance(inputs, ExtractedInputs):
        from amad_bench.data.images.extract import load_extractor  # transformers: slow to import

        feature_size = load_extractor(amad_data() / inputs.model, inputs, torch.device("cpu"))[2]
    return load_folder_tokenizer(amad_data() / tokenizer, family), feature_size
