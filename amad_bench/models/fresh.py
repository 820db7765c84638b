"""Whether a model's weights are as they were drawn: a run without pre-training refuses any others."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from amad_bench.models.family import Scheme, family_of

_SURPRISE = 7.0  # standard normal deviations; one fresh parameter in 10^11 is further off


def require_fresh(model: nn.Module) -> None:
    """Raises RuntimeError unless every parameter of a family's model looks as drawn by its init scheme.

    Norms must be 1, biases 0; the others' mean and mean square must be those of the family's scheme, within
    what chance allows for their size. A model that was trained for a step is refused by its norms,
    transformers' vision initializer_range of 1e-10 for BLIP by the spread.
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


def _require(name: str, fresh: bool, scheme: Scheme, values: Tensor) -> None:
    if not fresh:
        raise RuntimeError(
            f"{name}: these are no fresh weights: expected mean {scheme.mean:.3g} and standard deviation "
            f"{scheme.spread:.3g}, found {float(values.mean()):.3g} and {float(values.std(correction=0)):.3g}"
        )


def _without_row(values: Tensor, row: int) -> Tensor:
    return torch.cat([values[:row], values[row + 1 :]])


def _schemes(model: nn.Module) -> Iterator[tuple[str, Tensor, Scheme]]:
    """Every parameter by name with its scheme; parts of it where they have schemes of their own."""
    seen: set[nn.Parameter] = set()
    family = family_of(model)
    for path, module in model.named_modules():
        norm = type(module).__name__.endswith("LayerNorm")  # nn's, T5's
        for key, parameter in module.named_parameters(recurse=False):
            if parameter in seen:
                continue
            seen.add(parameter)
            name = f"{path}.{key}"
            if norm and key == "weight":
                yield name, parameter, Scheme(1.0, 0.0)
            elif key == "bias":
                yield name, parameter, Scheme(0.0, 0.0)
            else:
                for part, scheme in family.schemes(model, path, module, parameter):
                    yield name, part, scheme
