"""What a model starts from: fresh weights, checked to be fresh, or pre-trained ones, read and placed."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers.models.t5.modeling_t5 import T5Attention, T5LayerNorm

from amad_bench.data.tokenizer import BLIP_STARTS, VISUAL_TOKENS
from amad_bench.models.blip_weights import POSITIONS, blip_weights, with_position_grid
from amad_bench.models.build import VISUAL_TOKEN_SPREAD, blip_spread
from amad_bench.models.checkpoints import checkpoint_weights
from amad_bench.models.heads import VOCABULARY_ROWS, cut, names_at_depth_of
from amad_bench.models.vlt5 import VLT5
from amad_bench.models.vlt5_weights import official_weights, t5_weights
from amad_bench.models.weights import Weights, first_names, own_tensors
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.paths import amad_data, run_dir

# What text pre-training does not have, each as a whole or not at all: a side that sees, and BERT's LM head.
_MAY_BE_FRESH = {
    ("vlt5", "text"): (r"^encoder\.visual_embedding\.",),
    ("blip", "text"): (r"^vision_model\.", r"\.crossattention\.", r"^text_decoder\.cls\."),
}
# BLIP's checkpoints have both text stacks, its captioner has no encoder.
_MAY_BE_LEFT = {"vlt5": (), "blip": ("text_encoder",)}
_SURPRISE = 7.0  # standard normal deviations; one fresh parameter in 10^11 is further off


def read_start(start: Mapping[str, Any], *, family: str, task: str, pretraining: str) -> Weights:
    """The weights that `start` of a canonical run config names: of a run, or of files below AMAD_DATA.

    Raises UserError where they are absent, broken, not finite or not of the family.
    """
    if "run_id" in start:
        return checkpoint_weights(run_dir(start["run_id"]) / "model.safetensors")
    paths = [amad_data() / path for path in start["weights"]]
    if family == "blip":
        return blip_weights(paths, task, pretraining)
    if len(paths) != 1:
        raise UserError(f"{', '.join(map(str, paths))}: VL-T5 starts from one file or folder; name one")
    return (t5_weights if pretraining == "text" else official_weights)(paths[0])


def load_start(
    model: nn.Module,
    weights: Weights,
    *,
    family: str,
    task: str,
    pretraining: str,
    init: str,
    inherit_heads: str,
) -> dict[str, list[list[int]]]:
    """Fills a fresh model from the weights of a condition as `heads.cut` says, and returns that head map.

    Only what the condition cannot have stays fresh: new tokens and everything visual (text pre-training), a
    BERT's missing LM head, and text positions that the weights' texts never reached. ViT's positions are
    interpolated. A model on the meta device is matched only. Raises UserError naming what is missing,
    unexpected or of another shape.
    """
    weights = _under_own_names(weights, model)
    if family == "blip":
        weights = with_position_grid(weights, own_tensors(model)[POSITIONS].shape[1] - 1)
    _check_names(weights, model, family, task, pretraining)
    _check_vocabulary(weights, model, pretraining)
    return cut(weights, model, init=init, inherit_heads=inherit_heads)


def _under_own_names(weights: Weights, model: nn.Module) -> Weights:
    """Tied tensors under the name that the model knows them by first."""
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


def _check_names(weights: Weights, model: nn.Module, family: str, task: str, pretraining: str) -> None:
    """In any depth: how many layers the model has is up to `cut`."""
    expected, found = names_at_depth_of(weights, model), set(weights.tensors)
    missing = expected - found
    for pattern in _MAY_BE_FRESH.get((family, pretraining), ()):
        part = {name for name in expected if re.search(pattern, name)}
        if part <= missing:
            missing -= part
    left = [part for part in _MAY_BE_LEFT[family] if not hasattr(model, part)]
    unexpected = {name for name in found - expected if name.split(".")[0] not in left}
    if missing or unexpected:
        raise UserError(
            f"{weights.where}: no weights for {family} {task} after {pretraining} pre-training: missing "
            f"{_listed(missing)}; unexpected {_listed(unexpected)}; name others or correct the condition"
        )


def _check_vocabulary(weights: Weights, model: nn.Module, pretraining: str) -> None:
    """A row must be the same word on both sides; only the family's own last ones may be new after text."""
    own = VISUAL_TOKENS if isinstance(model, VLT5) else len(BLIP_STARTS)
    new = own if pretraining == "text" else 0
    for name, tensor in own_tensors(model).items():
        if not VOCABULARY_ROWS.search(name) or name not in weights.tensors:
            continue
        there, here = len(weights.tensors[name]), len(tensor)
        if not here - new <= there <= here:
            raise UserError(
                f"{weights.where}: {name} has {there} rows, the tokenizer {here} tokens; "
                "take the tokenizer of these weights"
            )


def _listed(names: Iterable[str]) -> str:
    names = sorted(names)
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if names[3:] else "") or "nothing"


class _Scheme(NamedTuple):
    """How a parameter is drawn: normal around 0, or the constant `mean` where spread is 0.

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
    """Of the T5 (mesh) scheme: embeddings 1, projections fan-in ** -1/2, queries also / sqrt(head size)."""
    config = model.config
    if isinstance(module, nn.Linear):
        query = path.endswith(".q") and isinstance(model.get_submodule(path[:-2]), T5Attention)
        return (module.in_features * (config.d_kv if query else 1)) ** -0.5
    return config.d_model**-0.5 if path.endswith("relative_attention_bias") else 1.0
