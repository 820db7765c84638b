"""Whether a model's weights are as they were drawn: a run without pre-training refuses any others."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers.models.t5.modeling_t5 import T5Attention, T5LayerNorm

from amad_bench.data.text.tokenizer import VISUAL_TOKENS
from amad_bench.models.build import VISUAL_TOKEN_SPREAD, blip_spread
from amad_bench.models.vlt5.model import VLT5

_SURPRISE = 7.0  # standard normal deviations; one fresh parameter in 10^11 is further off


class _Scheme(NamedTuple):
    """Distribution of a fresh parameter: normal around 0, or the constant `mean` where spread is 0.

    zero_row: one row that is zeros (BERT's padding token).
    """

    mean: float
    spread: float
    zero_row: int | None = None


def require_fresh(model: nn.Module) -> None:
    """Raises RuntimeError unless every parameter of a VLT5 or BLIP model looks as drawn by its init scheme.

    Norms must be 1, biases 0; the others' mean and mean square must be those of the T5 (mesh) scheme or of
    BLIP's (`build.blip_spread`), within what chance allows for their size. A model that was trained for a
    step is refused by its norms, transformers' vision initializer_range of 1e-10 by the spread.
    """
    for name, drawn, scheme in _schemes(model):
        values = drawn.detach().double()
        if scheme.zero_row is not None:
            zeros, values = values[scheme.zero_row], _without_row(values, scheme.zero_row)
            _require(name, bool(zeros.eq(0).all()), scheme, values)
        if scheme.spread == 0:
            _require(name, bool(values.eq(scheme.mean).all()), scheme, values)
            continue
        standard = values / scheme.spread
        of_mean = abs(float(standard.mean())) * standard.numel() ** 0.5
        _require(name, max(of_mean, abs(_surprise(standard))) < _SURPRISE, scheme, values)


def _surprise(standard: Tensor) -> float:
    """A sum of squares of standard normals as a standard normal itself (Wilson and Hilferty 1931)."""
    part = 2 / (9 * standard.numel())
    return (float(standard.square().mean()) ** (1 / 3) - (1 - part)) / part**0.5


def _require(name: str, fresh: bool, scheme: _Scheme, values: Tensor) -> None:
    if not fresh:
        raise RuntimeError(
            f"{name}: these are no fresh weights: expected mean {scheme.mean:.3g} and standard deviation "
            f"{scheme.spread:.3g}, found {float(values.mean()):.3g} and {float(values.std(correction=0)):.3g}"
        )


def _without_row(values: Tensor, row: int) -> Tensor:
    return torch.cat([values[:row], values[row + 1 :]])


def _schemes(model: nn.Module) -> Iterator[tuple[str, Tensor, _Scheme]]:
    """Every parameter by name with its scheme; in two parts where visual tokens have one of their own."""
    seen: set[nn.Parameter] = set()
    for path, module in model.named_modules():
        for key, parameter in module.named_parameters(recurse=False):
            if parameter in seen:
                continue
            seen.add(parameter)
            name = f"{path}.{key}"
            if isinstance(module, (nn.LayerNorm, T5LayerNorm)) and key == "weight":
                yield name, parameter, _Scheme(1.0, 0.0)
            elif key == "bias":
                yield name, parameter, _Scheme(0.0, 0.0)
            elif isinstance(model, VLT5) and module is model.shared and model.config.use_vis_order_embedding:
                words = max(0, len(parameter) - VISUAL_TOKENS)
                if words:
                    yield name, parameter[:words], _Scheme(0.0, 1.0)
                yield name, parameter[words:], _Scheme(0.0, VISUAL_TOKEN_SPREAD)
            elif isinstance(model, VLT5):
                yield name, parameter, _Scheme(0.0, _t5_spread(model, path, module))
            else:
                side = "vision_config" if name.startswith("vision_model.") else "text_config"
                width = getattr(model.config, side).hidden_size  # pyright: ignore[reportAttributeAccessIssue]
                padding = module.padding_idx if isinstance(module, nn.Embedding) else None
                yield name, parameter, _Scheme(0.0, blip_spread(width), padding)


def _t5_spread(model: VLT5, path: str, module: nn.Module) -> float:
    """T5's spread (mesh scheme): embeddings 1, projections fan-in ** -1/2, queries also / sqrt(head size)."""
    config = model.config
    if isinstance(module, nn.Linear):
        query = path.endswith(".q") and isinstance(model.get_submodule(path[:-2]), T5Attention)
        return (module.in_features * (config.d_kv if query else 1)) ** -0.5
    return config.d_model**-0.5 if path.endswith("relative_attention_bias") else 1.0
