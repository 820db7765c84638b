"""The losses that a config compares."""

from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from amad_bench.plan.catalogue import LOSSES
from amad_bench.plan.catalogue.options import check_options
from amad_bench.plan.config.base import Closed, Label, Open, Problems, known
from amad_bench.plan.config.numbers import Few, NotNegative


class LossWeights(Closed):
    """Factors of the unweighted parts in the sum that is minimised."""

    ce: NotNegative = Field(default=1.0, description="of cross-entropy")
    logit_kd: NotNegative = Field(default=1.0, description="of logit distillation")
    attention: NotNegative = Field(default=1.0, description="of an attention loss")


class Assistant(Closed):
    """A student that teaches in its teacher's place."""

    heads: Few = Field(description="its number of heads")
    loss: str = Field(description="label of the entry of `losses` that it was trained with")


class LossEntry(Open):
    """A loss with its options, which the catalogue knows by its `name`."""

    name: Annotated[str, known("loss", LOSSES)] = Field(description="of the loss")
    label: Label | None = Field(
        default=None,
        description="what tables call it; needed where two entries share a loss. Left out: by the name",
    )
    assistant: Assistant | None = Field(
        default=None, description="the finished student that teaches; needs a `label`"
    )
    loss_weights: dict[str, NotNegative] = Field(default={}, description="those that differ for this loss")

    @model_validator(mode="after")
    def _options_fit(self) -> Self:
        loss = LOSSES[self.name]
        lines = list(
            check_options("", self.given, loss.options, tuple(type(self).model_fields), loss.elsewhere)
        )
        if not lines and (clash := loss.clash(self.given)):
            lines = [f": {clash}"]
        if lines:
            raise Problems(lines)
        return self

    @property
    def options(self) -> dict[str, Any]:
        """The given options; whole numbers become floats where the catalogue says float."""
        specs = LOSSES[self.name].options
        return {key: float(value) if specs[key].type is float else value for key, value in self.given.items()}

    @property
    def shown_label(self) -> str:
        return self.label or LOSSES[self.name].label(self.options)
