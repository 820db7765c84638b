"""A run's canonical config: everything that can change its numbers, typed, frozen, hashed for its id."""

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from amad_bench.plan.catalogue import OUTPUTS_VERSION, PREPARED_VERSION, Dataset, record_of
from amad_bench.plan.config.datasets import Limit
from amad_bench.plan.config.inputs import Inputs
from amad_bench.plan.config.losses import Assistant
from amad_bench.plan.config.schema import LayerMap
from amad_bench.plan.config.training import Decoding, Training
from amad_bench.runtime.precision import Precision

Option = bool | int | float | str | list[str]
DataOption = Option | dict[str, dict[str, str]]  # the files of one's own data: split -> role -> path


def canonical_json(value: Any) -> str:
    """One text per meaning: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def short_hash(value: Any, digits: int = 8) -> str:
    """The first hexadecimal digits of the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode("utf-8")).hexdigest()[:digits]


def readable_prefix(
    family: str,
    task: str,
    heads: tuple[int, ...],
    label: str,
    conditions: tuple[str | None, ...],
    replicate: int,
) -> str:
    """The readable part of a run's id: vlt5-vqa-h8to2-amad_kl-none-s03.

    heads: of the teacher and the student, or of the run alone. label: "" for pre-trainings. conditions: of
    the teacher, None where none matters, and of the run.
    """
    counts, known = "to".join(map(str, heads)), "to".join(dict.fromkeys(filter(None, conditions)))
    parts = [family, task, f"h{counts}", label, known, f"s{replicate:02d}"]
    return "-".join(filter(None, parts))


class Part(BaseModel):
    """A part of a run's config; nothing can be left out by mistake or added."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    def canonical(self) -> dict[str, Any]:
        """The JSON object that stands for it; no default is left out."""
        return self.model_dump(mode="json")


class UsedDataset(Part):
    """A data set as a run uses it; hash: of its content, None where it is only planned what would be."""

    name: str
    options: dict[str, DataOption]
    limit: Limit | None
    features: list[str] | None
    version: int
    hash: str | None

    @property
    def record(self) -> Dataset:
        """Its record in the catalogue, or that of data of one's own."""
        return record_of(self.name, self.options)


class UsedTokenizer(Part):
    """Either a folder below AMAD_DATA with its hash, or `vocabulary` entries learnt from training splits.

    tasks: those whose texts it learns from, None: the run's own.
    """

    folder: str | None = None
    hash: str | None = None
    vocabulary: int | None = None
    tasks: list[str] | None = None


class DataSpec(Part):
    """The examples, and how a model reads them: all that prepared data depend on.

    inputs_hash: of the vision model that makes the features, None for other kinds of inputs.
    """

    family: str
    task: str
    dataset: UsedDataset
    inputs: Inputs
    inputs_hash: str | None
    tokenizer: UsedTokenizer

    @property
    def prepared(self) -> dict[str, Any]:
        """The JSON object that prepared data are named by."""
        return {"version": PREPARED_VERSION, **self.model_dump(mode="json", include=_DATA_KEYS)}

    @property
    def prepared_name(self) -> str:
        """Name of the folder of prepared arrays, beside those of the data set's other tasks."""
        return f"{self.family}-{self.task}-{short_hash(self.prepared)}"

    @property
    def data_key(self) -> str:
        """Names what is prepared; runs that read the same examples in the same way share it."""
        return f"{self.dataset.name}-{short_hash(self.prepared)}"


_DATA_KEYS = set(DataSpec.model_fields)


class Side(Part):
    """Sizes of a model, or of a side of it."""

    layers: int
    width: int
    feed_forward: int
    heads: int
    head_size: int


class Model(Side):
    """A model's sizes: of the side whose attention is compared, and of all that other_sides does not name.

    other_sides: those that differ from it, by name. options: of its family, all of them.
    """

    dropout: float
    options: dict[str, Option]
    other_sides: dict[str, Side] = {}

    def side(self, name: str) -> Side:
        """Sizes of a side; those of the whole model where its sides are alike, or it has none."""
        return self.other_sides.get(name, self)


class Start(Part):
    """The weights that a model starts from: files with their hash, or those of a pre-training run.

    cut, inherit_heads: how they are cut to the model's shape.
    """

    cut: Literal["none", "inherit", "remap"]
    inherit_heads: Literal["first", "spread"] | None
    checkpoints: list[str] = []
    hash: str | None = None
    run_id: str | None = None


class Block(Part):
    """A block of a task entry: the teacher's heads; the name of the student's size, "" for an only one, and
    its heads.
    """

    teacher_heads: int
    student: str
    student_heads: int

    def __hash__(self) -> int:  # pydantic's own, which a type checker does not see
        return hash((self.teacher_heads, self.student, self.student_heads))

    @property
    def pair(self) -> str:
        """Short name among the blocks of the task entry, e.g. "8 -> 2" or "8 -> 2 (small)"."""
        return head_pair(self.teacher_heads, self.student_heads, self.student)


def head_pair(teacher_heads: int, student_heads: int, student: str) -> str:
    """Phrase for the heads of a teacher and a student, and for the student's size where it has a name."""
    return f"{teacher_heads} -> {student_heads}" + (f" ({student})" if student else "")


Outputs = Literal["float32", "online"]


class Taught(Part):
    """The teacher of a student: the run (None for a loss without a teacher), the heads of the block's
    teachers, and the assistant that teaches in its place.

    outputs: the type in which those on the training examples are stored, or `online`: computed for each
    batch. None for a loss without a teacher. They are stored where every example has one target and all
    batches have one length, as the data say, and else computed, too.
    """

    run_id: str | None
    heads: int
    assistant: Assistant | None
    outputs: Outputs | None


class UsedLoss(Part):
    """A loss with all its options; logit_temperature: of the logit distillation, None without one."""

    name: str
    label: str
    options: dict[str, Option]
    loss_weights: dict[str, float]
    logit_temperature: float | None
    sites: list[str]
    layer_map: LayerMap | None


class Seeds(Part):
    """Seeds of what is random in a run; blind: of the images that the control `test_blind` shuffles."""

    data_order: int
    init: int
    dropout: int
    blind: int


class RunConfig(DataSpec):
    """The canonical config of a run.

    pretraining: the model's condition, teacher_pretraining: its teacher's, None where no teacher's matters.
    block: the block whose own it is, None where blocks share such runs. controls: whether it is tested
    without the right images, too. versions: of everything in the catalogue that its numbers depend on.
    pretraining_options: of a run of kind "pretrain", by family and condition.
    """

    kind: Literal["pretrain", "teacher", "student"]
    precision: Precision
    heads_keep: Literal["inner_width", "head_size"]
    decoding: Decoding | None
    model: Model
    start: Start | None
    teacher: Taught | None
    pretraining: str
    teacher_pretraining: str | None
    loss: UsedLoss
    training: Training
    pretraining_options: dict[str, Option]
    replicate: int
    block: Block | None
    controls: bool
    seeds: Seeds
    versions: dict[str, int]

    @property
    def answers(self) -> Decoding:
        """Way in which answers are read off the model; ValueError for a pre-training, which gives none."""
        if self.decoding is None:
            raise ValueError(f"a run of kind {self.kind} gives no answers")
        return self.decoding

    @property
    def outputs_key(self) -> str | None:
        """Names the stored outputs of its teacher on its training examples; None where there are none.

        Students that read the same examples in the same way, in batches of one size, share them.
        """
        if self.teacher is None or self.teacher.run_id is None or self.teacher.outputs == "online":
            return None
        parts = {"version": OUTPUTS_VERSION, "data": self.prepared, "type": self.teacher.outputs}
        parts |= {"examples": self.training.examples, "batch": self.training.batch}
        parts |= {"precision": self.precision}
        return f"{self.teacher.run_id}-{short_hash(parts)}"

    @property
    def id_prefix(self) -> str:
        """The readable part of the run's id."""
        counts, label = (self.model.heads,), ""
        if self.teacher is not None:
            counts, label = (self.teacher.heads, self.model.heads), self.loss.label
        elif self.kind == "teacher":
            counts, label = (*counts, *([self.block.student_heads] if self.block else [])), "teacher"
        conditions = (self.teacher_pretraining, self.pretraining)
        return readable_prefix(self.family, self.task, counts, label, conditions, self.replicate)

    @property
    def run_id(self) -> str:
        """The prefix + 8 hex digits of the canonical config: vlt5-vqa-h8to2-amad_kl-none-s03-1f9c2a7b."""
        return f"{self.id_prefix}-{short_hash(self.canonical())}"
