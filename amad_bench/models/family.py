"""Interface of a family's folder to all other code: one class, found by the family's record."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
from torch import Tensor, nn

from amad_bench.data.batch import TextMasks
from amad_bench.data.pretraining.batches import BatchMaker
from amad_bench.data.pretraining.data import PretrainingData
from amad_bench.data.pretraining.split import PretrainingSplit
from amad_bench.data.text.tokenizer import Tokenizer
from amad_bench.models.weights import SettingNames, Settings, Weights
from amad_bench.plan.catalogue import FAMILIES, Family
from amad_bench.plan.run_config import RunConfig
from amad_bench.runtime.errors import UserError


class Scheme(NamedTuple):
    """Distribution of a fresh parameter: normal around 0, or the constant `mean` where spread is 0.

    zero_row: one row that is zeros (BERT's padding token).
    """

    mean: float
    spread: float
    zero_row: int | None = None


@dataclass(frozen=True)
class Blueprint:
    """All that a fresh model is made from.

    positions: of text, where they are learned. feature_size: numbers per region, None for
    the raw pixels that the config's `inputs` describe.
    """

    config: RunConfig
    tokenizer: Tokenizer
    positions: int
    feature_size: int | None
    settings: Settings


@dataclass(frozen=True)
class Exported:
    """The way to use what a family wrote.

    class_name: of the class that reads it. first: id of the token that begins what the model reads, if any.
    code: lines that load and use it, where {prompt!r} and {generation} are filled in. differences: between
    that class and the run's own model, a sentence each.
    """

    class_name: str
    first: int | None
    code: str
    differences: list[str]


class FamilyModels(ABC):
    """A family's models, as all code outside of its folder knows them.

    settings: of fresh models. settings_in: which of them stand in a config of which class. may_be_fresh: by
    condition, patterns of parameters that its weights may lack, each as a whole. may_be_left: modules that
    its weights may have and a task's model may lack. `read_files` and `batch_maker` are for the conditions
    that the record has.
    """

    settings: ClassVar[Settings]
    settings_in: ClassVar[Mapping[type, SettingNames]]
    may_be_fresh: ClassVar[Mapping[str, tuple[str, ...]]] = {}
    may_be_left: ClassVar[tuple[str, ...]] = ()

    def positions(self, config: RunConfig, longest: int) -> int:
        """The number of text positions of a model whose longest text sequence has `longest` tokens."""
        return max(longest, FAMILIES[config.family].positions[config.tokenizer.folder is not None])

    @abstractmethod
    def build(self, wanted: Blueprint) -> nn.Module:
        """A run's model with random weights, drawn from torch's generator.

        Its forward pass takes what a batch has as `inputs`, and `labels`, and gives logits (B, L, V) that are
        aligned with the labels; `generate` writes, `rank` chooses (where the task's record says `ranks`). The
        model of a run of kind "pretrain" gives (loss, {objective: scalar}), and `task_weights` by name; its
        `on_host` names arguments that it looks at: it gets these on the host.
        """

    def read_files(self, paths: Sequence[Path], config: RunConfig) -> Weights:
        """Weights for the model of a run, of its condition; UserError for files that are not these."""
        raise NotImplementedError(f"{config.family} reads no weights of {config.pretraining}: {paths}")

    @abstractmethod
    def schemes(
        self, model: nn.Module, path: str, module: nn.Module, parameter: nn.Parameter
    ) -> Iterator[tuple[Tensor, Scheme]]:
        """A parameter of `module`, which is no norm's and no bias, with the scheme that it is drawn by.

        path: of the module. Parts of a parameter come by themselves where they have schemes of their own.
        """

    def batch_maker(self, split: PretrainingSplit, data: PretrainingData, condition: str) -> BatchMaker:
        """The maker of pre-training batches; ValueError where the split cannot be used."""
        raise NotImplementedError(f"{type(self).__name__} makes no batches of {condition}: {split}, {data}")

    def valid_samples(self, task: str, site: str, masks: TextMasks) -> np.ndarray:
        """(B,) bool: samples whose maps have a valid entry at a site of a task's model, by the batch's masks.

        A batch can be trained on in parts only where this is known: see `losses.whole_batch`.
        """
        raise UserError(
            f"micro_batch: {type(self).__name__} does not say which of {len(masks.target_BT)} samples have "
            f"attention at {site} in {task}; define its `valid_samples`, or set micro_batch: null"
        )

    def save(
        self,
        model: nn.Module,  # noqa: ARG002 (families read them)
        tokenizer: Tokenizer,  # noqa: ARG002
        config: RunConfig,
        folder: Path,  # noqa: ARG002
    ) -> Exported:
        """Writes a task's model for others into an empty folder: config, weights, what images become."""
        raise UserError(
            f"{config.family}: its models cannot be exported, its folder in amad_bench/models has no `save`"
        )

    def fitted(self, weights: Weights, model: nn.Module) -> Weights:  # noqa: ARG002 (others read it)
        """The weights for this model, where something that is learnt depends on more than its shape."""
        return weights

    def kept(self, weights: Weights, model: nn.Module) -> Weights:  # noqa: ARG002 (others read it)
        """The weights, complete as they are, without what stays fresh in this model."""
        return weights


def load(family: str) -> None:
    """Imports the family's folder, which takes seconds; no other's."""
    implementation_of(FAMILIES[family])


def implementation_of(record: Family) -> FamilyModels:
    """The class behind a record of the catalogue; no other family's folder is imported."""
    return getattr(import_module(f"amad_bench.models.{record.name}"), record.implementation)()


def family_of(model: nn.Module) -> FamilyModels:
    """The family in whose folder the model's class stands; ValueError for a model of none."""
    for kind in type(model).__mro__:
        match kind.__module__.split("."):
            case ["amad_bench", "models", folder, *_] if folder in FAMILIES:
                return implementation_of(FAMILIES[folder])
            case _:
                continue
    raise ValueError(f"{type(model).__name__} is a model of none of the families {', '.join(FAMILIES)}")
