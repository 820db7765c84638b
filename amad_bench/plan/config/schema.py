"""Keys and values that a config file may have. Closed: an unknown key is a mistake."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from amad_bench.plan.catalogue import DATASETS, EXTRA_METRICS, LOSSES, TASKS
from amad_bench.plan.config.base import Closed, Name, Open, PathBelow, distinct, known
from amad_bench.plan.config.inputs import Inputs, PixelInputs
from amad_bench.plan.config.losses import LossEntry, LossWeights
from amad_bench.plan.config.models import Heads, ModelEntry
from amad_bench.plan.config.numbers import (
    Count,
    Few,
    LayerIndex,
    Length,
    Positive,
    Processes,
    Seed,
    Vocabulary,
)
from amad_bench.plan.config.training import Decoding, FamilyName, Pretraining, Training

DatasetName = Annotated[str, known("data set", DATASETS)]
TaskName = Annotated[str, known("task", TASKS)]
ExtraMetrics = Annotated[list[Annotated[str, known("extra metric", EXTRA_METRICS)]], AfterValidator(distinct)]
Sites = Annotated[list[str], Field(min_length=1), AfterValidator(distinct)]


class Limit(Closed):
    """The number of examples of each split that are used."""

    train: Count = Field(description="examples of the training split")
    validation: Count = Field(description="examples of the validation split")
    test: Count = Field(description="examples of each test split; a smaller further one is used whole")


class DatasetEntry(Open):
    """A data set with its options, which the catalogue knows by its name."""

    limit: Limit | None = Field(default=None, description="how many examples are used; left out: all")
    features: Annotated[list[PathBelow], Field(min_length=1)] | None = Field(
        default=None,
        description="files below AMAD_DATA with precomputed features of regions (.h5, folders of .npz)",
    )

    def options(self, name: str) -> dict[str, Any]:
        """All options of the data set, defaults filled in."""
        return DATASETS[name].complete(self.given)


class TaskEntry(Closed):
    """A family on a task of a data set."""

    family: FamilyName = Field(description="of models: vlt5, blip")
    task: TaskName = Field(description="vqa, captioning, translation")
    dataset: DatasetName = Field(description="one of `datasets`")
    vocabulary: Vocabulary | None = Field(
        default=None, description="entries of a tokenizer that is trained on the training split, at most"
    )
    tokenizer: PathBelow | None = Field(
        default=None, description="folder below AMAD_DATA of a pretrained tokenizer, instead of `vocabulary`"
    )
    image_size: Length | None = Field(default=None, description="in pixels, instead of `inputs.size` of BLIP")
    decoding: Decoding = Field(description="how answers are read off the models")
    teacher: Training = Field(description="how teachers are trained")
    student: Training = Field(description="how students are trained")

    @property
    def axes(self) -> tuple[str, str, str]:
        return self.family, self.task, self.dataset


def _pair(value: Any) -> Any:
    match value:
        case [int(student), int(teacher)] if min(student, teacher) >= 0 and bool not in map(type, value):
            return value
        case _:
            raise ValueError("[student layer, teacher layer], counted from 0")


def _pairs(value: Any) -> Any:
    match value:
        case [_, *_]:
            return value
        case _:
            raise ValueError("last, uniform or a list of [student, teacher] pairs")


LayerPairs = Annotated[
    list[Annotated[list[LayerIndex], BeforeValidator(_pair)]],
    BeforeValidator(_pairs),
    AfterValidator(distinct),
]
LayerMap = Annotated[
    Annotated[Literal["last", "uniform"], Tag("name")] | Annotated[LayerPairs, Tag("pairs")],
    Discriminator(lambda value: "name" if isinstance(value, str) else "pairs"),
]


class Config(Closed):
    """A whole config file, checked; see configs/default.yaml for an example."""

    name: Name = Field(description="of the config, in reports; no part of any run's identity")
    seed: Seed = Field(default=0, description="what all seeds are made from")
    device: Literal["auto", "cpu", "cuda"] = Field(
        default="auto", description="auto: a GPU where there is one"
    )
    workers: Processes = Field(
        default=0, description="processes that read images, per run; no number depends on it"
    )
    replicates: Few = Field(description="students per combination, each with seeds of its own")
    teacher_per: Literal["sweep", "block", "replicate"] = Field(
        default="sweep",
        description="sweep: one teacher for all replicates and students; block: one for each pair of head "
        "counts and student size, with seeds of its own; replicate: one for each replicate",
    )
    scenes_per: Literal["sweep", "block"] = Field(
        default="sweep",
        description="sweep: all see the same generated images; block: each pair of head counts and student "
        "size has images of its own, drawn from a hash of its name and both seeds",
    )
    datasets: dict[DatasetName, DatasetEntry] = Field(description="data sets by name, with their options")
    models: dict[FamilyName, ModelEntry] = Field(description="models by family")
    heads: Heads = Field(description="the numbers of heads that are swept")
    pretraining: Pretraining = Field(default=Pretraining(), description="what models know before their task")
    losses: Annotated[list[LossEntry], Field(min_length=1)] = Field(description="the losses to compare")
    loss_weights: LossWeights = Field(default=LossWeights(), description="factors of the parts of a loss")
    logit_temperature: Positive = Field(
        default=2.0, description="of the logit distillation beside attention losses, for teacher and student"
    )
    sites: dict[FamilyName, Sites] = Field(
        default={}, description="by family, the sites whose attention is compared"
    )
    layer_map: LayerMap = Field(
        default="last",
        description="which layers are compared: last with last, uniform, or [[student, teacher], ...], "
        "counted from 0",
    )
    extra_metrics: ExtraMetrics = Field(
        default=[], description="metrics made by one job for all runs: METEOR, SPICE"
    )
    tasks: Annotated[list[TaskEntry], Field(min_length=1)] = Field(description="what is trained and tested")

    def inputs_of(self, entry: TaskEntry) -> Inputs:
        """Kind of image input of the models of a task entry, with its sizes."""
        inputs = self.models[entry.family].inputs
        if entry.image_size and isinstance(inputs, PixelInputs):
            return inputs.model_copy(update={"size": entry.image_size})
        return inputs

    @property
    def students(self) -> int:
        """Number that is asked for, those included that cannot be trained."""
        after_each = len(self.pretraining.teacher)  # a loss without a teacher is trained once
        losses = sum(after_each if LOSSES[loss.name].reads else 1 for loss in self.losses)
        heads = 0
        for model in (self.models[entry.family] for entry in self.tasks):
            students = [len(self.heads.of("student", size)) for size in model.student_sizes.values()]
            heads += len(self.heads.of("teacher", model.teacher)) * sum(students)
        return heads * losses * len(self.pretraining.student) * self.replicates
