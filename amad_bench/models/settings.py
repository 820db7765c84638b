"""Settings of models: numbers that no tensor shows."""

from torch import nn

from amad_bench.models.family import family_of
from amad_bench.models.weights import Settings


def settings_of(model: nn.Module) -> dict[str, str | int | float]:
    """Settings of a family's model or of what pre-trains it; ValueError where two parts of a model differ."""
    found: dict[str, str | int | float] = {}
    parts = family_of(model).settings_in
    for module in model.modules():
        config = getattr(module, "config", None)
        for part, names in parts.items():
            if not isinstance(config, part):
                continue
            for name, value in names.of(config).items():
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
