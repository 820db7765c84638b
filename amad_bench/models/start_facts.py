"""Facts that the weights a model starts from say of themselves, for the run's row and for `doctor`."""

from typing import Any

from torch import nn

from amad_bench.data.images.table import COLOURS
from amad_bench.models.folders import PREPROCESSOR
from amad_bench.models.heads import head_sizes
from amad_bench.models.start import kept_rows, under_own_names
from amad_bench.models.weights import Colours, Weights
from amad_bench.plan.run_config import RunConfig


def start_facts(weights: Weights, model: nn.Module, config: RunConfig) -> dict[str, Any]:
    """Facts on weights that `load_start` has put into the model; shapes cannot show it all.

    heads: by site, e.g. "12 of 32 channels"; heads_from: what says so; left_out: tensors that the model has
    no place for; padding_rows: of the vocabulary; colours: where the weights say how images looked to them.
    """
    sizes = head_sizes(weights)
    return {
        "heads": {site: f"{heads} of {sizes[site]} channels" for site, heads in weights.heads.items()},
        "heads_from": weights.heads_from,
        "settings": dict(weights.settings),
        "left_out": list(weights.left_out),
        "colours": _colours(weights, getattr(config.inputs, "colours", "half")),
        "padding_rows": max(
            len(weights.tensors[name]) - kept
            for name, kept in kept_rows(under_own_names(weights, model), model, config).items()
        ),
    }


def _colours(weights: Weights, here: str) -> str:
    """Another scale than the weights' own is no mistake: so starts BLIP from a ViT. But it is said."""
    if weights.colours is None:
        return ""
    fitting = [name for name, known in COLOURS.items() if _alike(weights.colours, known)]
    if here in fitting:
        return f"{here}, as {PREPROCESSOR} says"
    mean, spread = (", ".join(f"{number:g}" for number in numbers) for numbers in weights.colours)
    stated = fitting[0] if fitting else f"mean {mean} and spread {spread}"
    return f"{here}, but {stated} by {PREPROCESSOR}"


def _alike(one: Colours, other: Colours) -> bool:
    return all(
        abs(a - b) < 1e-3
        for numbers, others in zip(one, other, strict=True)
        for a, b in zip(numbers, [*others] * (len(numbers) // len(others)), strict=True)
    )
