"""What a config file may say. Closed: every mistake is reported, all at once, before anything runs."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from amad_bench.plan.catalogue import DATASETS, LOSSES
from amad_bench.plan.checks import check_meaning
from amad_bench.plan.limits import MOST_STUDENTS
from amad_bench.plan.messages import explain
from amad_bench.plan.numbers import (
    Count,
    Examples,
    Few,
    Length,
    NotNegative,
    Positive,
    Processes,
    Seed,
    Size,
    Vocabulary,
)
from amad_bench.plan.yaml_file import read_yaml
from amad_bench.runtime.errors import UserError, UserErrors


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Open(BaseModel):
    """Beside its own keys it holds options whose names and types the catalogue knows (plan/checks.py)."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)

    @property
    def given(self) -> dict[str, Any]:
        return dict(self.__pydantic_extra__ or {})


Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+$")]
Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.]+$")]


LONGEST_NAME = 255  # characters; what file systems take


def _below(value: Any) -> Any:
    if isinstance(value, str):
        parts = value.split("/")
        if parts[0] in ("", "~") or not {".", ".."}.isdisjoint(parts) or max(map(len, parts)) > LONGEST_NAME:
            raise ValueError("a path below AMAD_DATA")
        if not value.isascii() and (encoding := sys.getfilesystemencoding()) != "utf-8":
            raise ValueError(
                f"ASCII letters, as Python reads file names as {encoding} here: set PYTHONUTF8=1"
            )
    return value


PathBelow = Annotated[str, BeforeValidator(_below)]


class Limit(Closed):
    """The number of examples of each split that are used."""

    train: Count
    validation: Count
    test: Count


class DatasetEntry(Open):
    """features: files below AMAD_DATA with precomputed region features (.h5, or a folder of .npz)."""

    limit: Limit | None = None
    features: Annotated[list[PathBelow], Field(min_length=1)] | None = None

    def options(self, name: str) -> dict[str, Any]:
        """All options of the data set, defaults filled in."""
        return DATASETS[name].complete(self.given)


class RegionInputs(Closed):
    """Boxes of an image, each as crop x crop RGB pixels. rows, columns: for `boxes: grid` only."""

    kind: Literal["regions"]
    boxes: Literal["file", "grid"]
    crop: Length
    max_regions: Length
    rows: Few | None = None
    columns: Few | None = None


class FeatureInputs(Closed):
    """Precomputed features of an image's regions (`datasets.<name>.features`), each `size` numbers."""

    kind: Literal["features"]
    size: Size
    max_regions: Length


class ExtractedInputs(Closed):
    """Features of a rows x columns grid, made by a pretrained vision model from size x size pixels.

    model: its folder below AMAD_DATA, as transformers saves it.
    """

    kind: Literal["extracted"]
    model: PathBelow
    size: Length
    rows: Few
    columns: Few


class PixelInputs(Closed):
    """The image as size x size pixels, cut into patch x patch squares.

    colours: from 0..255 to -1..1 (half), or by the mean and spread that BLIP's checkpoints (clip) or
    many a ViT (imagenet) expect.
    """

    kind: Literal["pixels"]
    size: Length
    patch: Length
    colours: Literal["half", "clip", "imagenet"] = "half"


Inputs = RegionInputs | FeatureInputs | ExtractedInputs | PixelInputs


class ModelSize(Closed):
    """A model but for its number of heads.

    head_size: only for `fix: head_size`, where it does not follow from width and heads. heads: of this size,
    instead of the config's. weights: by pre-training condition, what it starts from (paths below AMAD_DATA).
    init: how weights of another shape are cut to this one; inherit_heads: which heads `inherit` takes.
    """

    layers: Few
    width: Size
    feed_forward: Size
    dropout: Annotated[float, Field(ge=0, lt=1)]
    head_size: Size | None = None
    heads: Annotated[list[Few], Field(min_length=1)] | None = None
    weights: dict[str, Annotated[list[PathBelow], Field(min_length=1)]] = {}
    init: Literal["random", "inherit", "remap"] = "random"
    inherit_heads: Literal["first", "spread"] = "first"


def _true_as_text(value: Any) -> Any:
    return "true" if value is True else value


class ModelEntry(Closed):
    """A family's models. students: by name, where students of several sizes are wanted instead of one.

    VL-T5 only: order_embedding (regions carry their number, as in the official model), box_area (official: as
    its checkpoints need it, a quirk; true: the area of a box).
    """

    inputs: Annotated[Inputs, Field(discriminator="kind")]
    order_embedding: bool | None = None
    box_area: Annotated[Literal["official", "true"], BeforeValidator(_true_as_text)] | None = None
    teacher: ModelSize
    student: ModelSize | None = None
    students: Annotated[dict[Label, ModelSize], Field(min_length=1)] | None = None

    @property
    def student_sizes(self) -> dict[str, ModelSize]:
        """By name; that of the only one is empty."""
        return self.students or ({"": self.student} if self.student is not None else {})


class Heads(Closed):
    teacher: Annotated[list[Few], Field(min_length=1)]
    student: Annotated[list[Few], Field(min_length=1)]


class Weights(Closed):
    """Factors of the unweighted parts in the sum that is minimised."""

    ce: NotNegative = 1.0
    logit_kd: NotNegative = 1.0
    attention: NotNegative = 1.0


class Assistant(Closed):
    """A student with `heads` heads, trained with the loss labelled `loss`: it is the teacher."""

    heads: Few
    loss: str


class LossEntry(Open):
    """label: tells two entries of one loss apart. weights: overrides for this loss."""

    name: str
    label: Label | None = None
    assistant: Assistant | None = None
    weights: dict[str, NotNegative] = {}

    @property
    def options(self) -> dict[str, Any]:
        """The given options; whole numbers become floats where the catalogue says float."""
        specs = LOSSES[self.name].options
        return {key: float(value) if specs[key].type is float else value for key, value in self.given.items()}

    @property
    def shown_label(self) -> str:
        return self.label or LOSSES[self.name].label(self.options)


class Training(Closed):
    """examples, batch: records; warmup: share of the steps, then down to 0; clip: gradient norm."""

    examples: Examples
    steps: Count
    batch: Size
    learning_rate: Positive
    warmup: Annotated[float, Field(ge=0, lt=1)]
    weight_decay: NotNegative
    clip: Positive
    evaluations: Size
    schedule: Literal["linear", "cosine"] = "linear"


class PretrainingTraining(Training):
    """momentum_distillation: BLIP's `vl` only. All examples are used."""

    examples: Literal["all"]  # pyright: ignore[reportIncompatibleVariableOverride] (narrower, and frozen)
    momentum_distillation: bool | None = None


class Pretraining(Closed):
    """The conditions of teachers and students; training: by family and condition, where it is done here."""

    teacher: Annotated[list[str], Field(min_length=1)] = ["none"]
    student: Annotated[list[str], Field(min_length=1)] = ["none"]
    training: dict[str, dict[str, PretrainingTraining]] = {}


class Decoding(Closed):
    """max_length: tokens; beams: 1 is greedy.

    rank: BLIP's VQA chooses among the training answers, the likeliest of the `rank` with the likeliest first
    token, instead of writing one.
    """

    max_length: Length
    beams: Few
    rank: Size | None = None


class Cell(Closed):
    """A family on a task of a data set.

    Either `vocabulary`, the entries of a tokenizer trained on it, or `tokenizer`, the folder below AMAD_DATA
    of a pretrained one (T5's SentencePiece, BERT's WordPiece). image_size: pixels, instead of the family's.
    """

    family: str
    task: str
    dataset: str
    vocabulary: Vocabulary | None = None
    tokenizer: PathBelow | None = None
    image_size: Length | None = None
    decoding: Decoding
    teacher: Training
    student: Training


class Config(Closed):
    """A whole config file, checked; see configs/default.yaml for an example."""

    name: Name
    seed: Seed = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    workers: Processes = 0  # that load batches, no part of any identity
    replicates: Few
    teacher_per: Literal["sweep", "replicate"] = "sweep"
    datasets: dict[str, DatasetEntry]
    models: dict[str, ModelEntry]
    heads: Heads
    fix: Literal["inner_width", "head_size"] = "inner_width"
    pretraining: Pretraining = Pretraining()
    losses: Annotated[list[LossEntry], Field(min_length=1)]
    weights: Weights = Weights()
    logit_temperature: Positive = 2.0
    sites: dict[str, Annotated[list[str], Field(min_length=1)]] = {}
    layer_map: Any = "last"
    extra_metrics: list[str] = []
    cells: Annotated[list[Cell], Field(min_length=1)]

    def inputs_of(self, cell: Cell) -> Inputs:
        """What the models of a cell see of an image."""
        inputs = self.models[cell.family].inputs
        return inputs.model_copy(update={"size": cell.image_size}) if cell.image_size else inputs

    @property
    def students(self) -> int:
        """How many are asked for, those included that cannot be trained."""
        pretraining = len(self.pretraining.teacher) * len(self.pretraining.student)
        heads = 0
        for model in (self.models[cell.family] for cell in self.cells):
            students = [size.heads or self.heads.student for size in model.student_sizes.values()]
            heads += len(model.teacher.heads or self.heads.teacher) * sum(map(len, students))
        return heads * pretraining * len(self.losses) * self.replicates


def load_config(path: Path | str) -> Config:
    """The checked config; UserErrors with one line for each mistake in the file."""
    raw = read_yaml(Path(path))
    if not isinstance(raw, Mapping):
        raise UserError(f"{path}: a config is a mapping with the keys {', '.join(Config.model_fields)}")
    config, problems = None, []
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        problems = [explain(details, Config) for details in error.errors(include_url=False)]
    problems += check_meaning(raw)
    if problems or config is None:
        raise UserErrors([f"{path}: {problem}" for problem in problems])
    if config.students > MOST_STUDENTS:
        raise UserError(
            f"{path}: {config.students:,} students are asked for, expected at most {MOST_STUDENTS:,}: lower "
            "`replicates`, or shorten the lists of heads, pre-training and losses"
        )
    return config
