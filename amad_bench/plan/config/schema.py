"""Keys and values that a config file may have. Closed: an unknown key is a mistake."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag, model_validator

from amad_bench.plan.catalogue import DATASETS, EXTRA_METRICS, FAMILIES, LOSSES, TASKS, Dataset, record_of
from amad_bench.plan.config.base import Closed, Name, PathBelow, Problems, distinct, known
from amad_bench.plan.config.datasets import Datasets, options_of
from amad_bench.plan.config.grid import Budgets, GridPart, TaskName
from amad_bench.plan.config.inputs import IMAGE_CACHE_GB, ImageInputs
from amad_bench.plan.config.losses import LossEntry, LossWeights
from amad_bench.plan.config.models import Heads, ModelEntry, ModelSize
from amad_bench.plan.config.numbers import (
    Few,
    LayerIndex,
    Length,
    NotNegative,
    PerGpu,
    Positive,
    Processes,
    Seed,
    Size,
    Vocabulary,
)
from amad_bench.plan.config.training import (
    Checkpointing,
    Conditions,
    Decoding,
    FamilyName,
    Pretraining,
    Training,
)
from amad_bench.plan.shown import shown, unknown
from amad_bench.runtime import devices
from amad_bench.runtime.errors import did_you_mean
from amad_bench.runtime.precision import FP32, Precision


def _device(name: str) -> str:
    if name not in (names := devices.choices()):
        hint = did_you_mean(name, names)
        raise Problems([f": expected {' or '.join(names)}, found {shown(name)}.{hint}"])
    return name


ExtraMetrics = Annotated[list[Annotated[str, known("extra metric", EXTRA_METRICS)]], AfterValidator(distinct)]
DeviceName = Annotated[str, AfterValidator(_device), Field(json_schema_extra={"enum": [*devices.choices()]})]
Sites = Annotated[list[str], Field(min_length=1), AfterValidator(distinct)]


class TaskEntry(Closed):
    """A family on a task of a data set."""

    family: FamilyName = Field(description=f"of models: {', '.join(FAMILIES)}")
    task: TaskName = Field(description=", ".join(TASKS))
    dataset: str = Field(description="one of `datasets`")
    vocabulary: Vocabulary | None = Field(
        default=None, description="entries of a tokenizer that is trained on the training split, at most"
    )
    tokenizer: PathBelow | None = Field(
        default=None, description="folder below AMAD_DATA of a pretrained tokenizer, instead of `vocabulary`"
    )
    image_size: Length | None = Field(
        default=None, description="in pixels, instead of `inputs.size` of `kind: pixels`"
    )
    replicates: Few | None = Field(default=None, description="instead of the config's")
    student_pretraining: Conditions | None = Field(
        default=None, description="of `pretraining.student` those that are trained here; by default all"
    )
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
    device: DeviceName = Field(default=devices.AUTO, description="auto: a GPU where there is one")
    runs_per_gpu: PerGpu = Field(
        default="auto",
        description="runs that share a GPU at the same time; auto: 8, 4, 2 or 1 by their sizes; no number "
        "depends on it",
    )
    gpus_per_run: Few = Field(
        default=1,
        description="GPUs that a teacher or student is trained on together, each with its share of every "
        "batch; on the CPU so many processes, to try it; no number depends on it but by rounding and by "
        "which dropout masks are drawn",
    )
    precision: Precision = Field(
        default=FP32,
        description="of all models' forward passes: fp32, IEEE float32 without TF32; or bf16, autocast to "
        "bfloat16, with float32 weights and losses",
    )
    compile: bool = Field(
        default=False,
        description="torch.compile of the steps of teachers and students, and of teachers that run for each "
        "batch; no number depends on it but by rounding and by which dropout masks are drawn",
    )
    workers: Processes = Field(
        default=0, description="processes that read images, per run; no number depends on it"
    )
    image_cache_gb: NotNegative = Field(
        default=IMAGE_CACHE_GB,
        description="images and features are kept as arrays where those of a set take at most so many GB of "
        "disk, else read from their files for each batch; no number depends on it",
    )
    micro_batch: Size | None = Field(
        default=None,
        description="examples of a training batch that are computed at once, at most; null: all of it. "
        "Gradients are added up to those of the whole batch: no number depends on it but in rounding and in "
        "which dropout masks are drawn. Where memory runs out it is halved at the same batch, and the run's "
        "row says so",
    )
    checkpoint: Checkpointing = Field(
        default=Checkpointing(), description="of trainings; no number depends on it"
    )
    logging: Literal["none", "tensorboard"] = Field(
        default="none",
        description="what shows trainings beside the project's own files; tensorboard: event files in each "
        "run's folder; no number depends on it",
    )
    keep_weights: Literal["all", "teachers", "none"] = Field(
        default="all",
        description="of runs that have ended; teachers: only those that other planned runs start or learn "
        "from; none: these, too, only as long as a run that is left needs them; no number depends on it",
    )
    replicates: Few = Field(description="students per combination, each with seeds of its own")
    budgets: Budgets = Field(
        default=["steps"],
        description="what all students get alike, a setting each: steps, the updates that their task says; "
        "flops, as many updates as cost no more FLOPs than those of `ce` (docs/engine.md#equal-flops)",
    )
    grid: list[GridPart] = Field(
        default=[],
        description="parts of the grid, whose union is trained; empty: every combination of heads, "
        "conditions, losses and budgets on every task",
    )
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
    datasets: Datasets = Field(description="data sets by name, with their options, or data of your own")
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
    teacher_outputs: Literal["auto", "stored", "online"] = Field(
        default="auto",
        description="of a teacher on its students' training examples: stored once for all of them, or "
        "computed online for each batch; auto: stored where their reckoned size is within `cache_budget_gb`",
    )
    cache_budget_gb: NotNegative = Field(
        default=8.0, description="the most that stored outputs of a teacher may take for a student, in GB"
    )
    extra_metrics: ExtraMetrics = Field(
        default=[], description=f"metrics made by one job for all runs: {', '.join(EXTRA_METRICS)}"
    )
    claims: str | None = Field(
        default=None,
        description="file of the claims registered before the run (docs/statistics.md#claims); null: "
        "configs/claims.yaml. No part of any run's identity",
    )
    tasks: Annotated[list[TaskEntry], Field(min_length=1)] = Field(description="what is trained and tested")

    @model_validator(mode="after")
    def _datasets_of_tasks(self) -> Self:
        """Any data set of a task is known from here on, though it may be missing under `datasets`."""
        names = list(dict.fromkeys([*self.datasets, *DATASETS]))
        problems = [
            f"tasks[{index}].dataset: {unknown('data set', entry.dataset, names)}"
            for index, entry in enumerate(self.tasks)
            if entry.dataset not in names
        ]
        if problems:
            raise Problems(problems)
        return self

    def record(self, dataset: str) -> Dataset:
        """The record of a data set of a task."""
        return record_of(dataset, self.options(dataset) if dataset in self.datasets else {})

    def options(self, dataset: str) -> dict[str, Any]:
        """All options of one of `datasets`."""
        return options_of(dataset, self.datasets[dataset])

    def inputs_of(self, entry: TaskEntry) -> ImageInputs:
        """Kind of image input of the models of a task entry, with its sizes."""
        inputs = self.models[entry.family].inputs
        return inputs.resized(entry.image_size) if entry.image_size else inputs

    def swept_sides(self, family: str, size: ModelSize) -> list[str]:
        """Names of those of `size.sides` whose heads are swept: the sides that `sites` compares."""
        sites, sides = self.sites.get(family, []), FAMILIES[family].sides
        compared = [name for name, own in sides.items() if not set(own).isdisjoint(sites)]
        return [name for name in size.sides if name in ("", *compared)]

    def heads_of(self, family: str, role: str, size: ModelSize) -> list[int]:
        """The numbers of heads of a size that are swept: its own, or the config's."""
        own = [size.sides[name].heads for name in self.swept_sides(family, size)]
        return next((heads for heads in own if heads), self.heads.of(role))

    def replicates_of(self, entry: TaskEntry) -> int:
        """Students per combination of a task entry."""
        return entry.replicates or self.replicates

    def student_pretraining_of(self, entry: TaskEntry) -> list[str]:
        """Pre-training conditions of the students of a task entry."""
        return entry.student_pretraining or self.pretraining.student

    def asks(self, **axes: Any) -> bool:
        """Whether the grid has a combination with these values of some axes (the keys of GridPart)."""
        return not self.grid or any(part.has(**axes) for part in self.grid)

    @property
    def students(self) -> int:
        """Number in the whole grid, those included that cannot be trained."""
        after_each = len(
            self.pretraining.teacher
        )  # without a teacher a loss is trained once, for all budgets
        taught = after_each * len(self.budgets)
        losses = sum(taught if LOSSES[loss.name].reads else 1 for loss in self.losses)
        students = 0
        for entry in self.tasks:
            model = self.models[entry.family]
            sizes = model.student_sizes.values()
            heads = sum(len(self.heads_of(entry.family, "student", size)) for size in sizes)
            pairs = len(self.heads_of(entry.family, "teacher", model.teacher)) * heads
            students += pairs * len(self.student_pretraining_of(entry)) * self.replicates_of(entry)
        return students * losses
