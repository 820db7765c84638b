"""What can be asked for: data sets, families, tasks, metrics and losses, as plain records without torch.

A record's `version` is raised whenever the numbers that it stands for change; it is part of a run's identity.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

TRAINING_VERSION = 1
ANALYSIS_VERSION = 1  # of the tables, figures and paper that analysis/ makes of the runs' files
PREPARED_VERSION = 1  # of the arrays that data/ makes of a data set's files
PRETRAINING = ("none", "text", "vl")  # a model's weights before its task training
PRETRAINING_AVAILABLE = ("none",)
FIX = ("inner_width", "head_size")  # what stays when the number of heads changes
LAYER_MAPS = ("last", "uniform")


@dataclass(frozen=True)
class OptionSpec:
    """One option of a record. `minimum` is inclusive, `above` exclusive."""

    type: type
    default: Any
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    above: float | None = None


# ---------------------------------------------------------------------------------------------------- metrics
@dataclass(frozen=True)
class Metric:
    """value * scale is what tables show, at most `maximum`; a corpus metric comes from summed statistics."""

    name: str
    label: str
    scale: float = 100.0
    maximum: float = 100.0
    corpus: bool = False
    version: int = 1


def _by_name(*records: Any) -> dict[str, Any]:
    named = {record.name: record for record in records}
    if len(named) != len(records):
        raise ValueError(f"a name is used twice among {[record.name for record in records]}")
    return named


METRICS: dict[str, Metric] = _by_name(
    Metric("vqa_accuracy", "VQA accuracy"),
    Metric("vqa_accuracy_2021", "VQA accuracy (2021 rule)"),
    Metric("exact_match", "Exact match"),
    Metric("Bleu_1", "BLEU-1", corpus=True),
    Metric("Bleu_2", "BLEU-2", corpus=True),
    Metric("Bleu_3", "BLEU-3", corpus=True),
    Metric("Bleu_4", "BLEU-4", corpus=True),
    Metric("ROUGE_L", "ROUGE-L"),
    Metric("CIDEr", "CIDEr", maximum=1000.0),
    Metric("BLEU", "BLEU", scale=1.0, corpus=True),
    Metric("BLEU_lc", "BLEU (lower case)", scale=1.0, corpus=True),
    Metric("chrF2", "chrF2", scale=1.0, corpus=True),
    Metric("TER", "TER", scale=1.0, corpus=True),
)


# ------------------------------------------------------------------------------------------------------ tasks
@dataclass(frozen=True)
class Task:
    """`metrics` is empty for VQA, whose metrics depend on how many answers a data set has per question."""

    name: str
    label: str
    metrics: tuple[str, ...] = ()


TASKS: dict[str, Task] = _by_name(
    Task("vqa", "VQA"),
    Task("captioning", "Captioning", ("CIDEr", "Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L")),
    Task("translation", "Translation", ("BLEU", "BLEU_lc", "chrF2", "TER")),
)
_VQA_METRICS = {"vqa_accuracy": ("vqa_accuracy", "vqa_accuracy_2021"), "exact_match": ("exact_match",)}


# -------------------------------------------------------------------------------------------------- data sets
@dataclass(frozen=True)
class Dataset:
    """`files`: what a real data set is read from, relative to AMAD_DATA; empty for a generated one.

    `options` shape the generated data; `vqa_metric`: its questions' primary metric, None without questions;
    `has_boxes`: it comes with true boxes, so that `boxes: file` is possible.
    """

    name: str
    label: str
    tasks: tuple[str, ...]
    files: tuple[str, ...] = ()
    options: Mapping[str, OptionSpec] = field(default_factory=dict)
    vqa_metric: str | None = None
    has_boxes: bool = False
    version: int = 1

    @property
    def generated(self) -> bool:
        return not self.files


DATASETS: dict[str, Dataset] = _by_name(
    Dataset(
        "scenes",
        "Scenes",
        ("vqa", "captioning", "translation"),
        options={
            "train_images": OptionSpec(int, 10000, minimum=1),
            "validation_images": OptionSpec(int, 250, minimum=1),
            "test_images": OptionSpec(int, 500, minimum=1),
            "seed": OptionSpec(int, 0, minimum=0),
        },
        vqa_metric="vqa_accuracy",
        has_boxes=True,
    ),
    Dataset(
        "daquar",
        "DAQUAR",
        ("vqa",),
        files=(
            "daquar/questions_train.json",
            "daquar/questions_test.json",
            "daquar/annotations_train.json",
            "daquar/annotations_test.json",
            "daquar/images_112.tar",
        ),
        vqa_metric="exact_match",
    ),
    Dataset(
        "flickr8k",
        "Flickr8k",
        ("captioning",),
        files=(
            "flickr8k/Flickr8k.token.txt",
            "flickr8k/Flickr_8k.trainImages.txt",
            "flickr8k/Flickr_8k.devImages.txt",
            "flickr8k/Flickr_8k.testImages.txt",
            "flickr8k/images_112.tar",
        ),
    ),
    Dataset(
        "multi30k",
        "Multi30K",
        ("translation",),
        files=(
            *(
                f"multi30k/raw/{split}.{language}.gz"
                for split in ("train", "val", "test_2016_flickr")
                for language in ("en", "de")
            ),
            *(f"multi30k/image_splits/{split}.txt" for split in ("train", "val", "test_2016_flickr")),
            *(f"multi30k/join_flickr8k/{split}.tsv" for split in ("train", "val", "test_2016_flickr")),
            "flickr8k/images_112.tar",
        ),
    ),
)


def metrics_of(task: str, dataset: str) -> tuple[str, ...]:
    """Names of the metrics that are computed; the first is the primary one."""
    vqa_metric = DATASETS[dataset].vqa_metric
    if task == "vqa" and vqa_metric is not None:
        return _VQA_METRICS[vqa_metric]
    return TASKS[task].metrics


def primary_metric(task: str, dataset: str) -> str:
    return metrics_of(task, dataset)[0]


# --------------------------------------------------------------------------------------------- model families
@dataclass(frozen=True)
class Family:
    """`sites`: by task, where attention maps can be compared. `inputs`: what it sees of an image."""

    name: str
    label: str
    inputs: str
    sites: Mapping[str, tuple[str, ...]]
    fix: tuple[str, ...]
    version: int = 1

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self.sites)


_T5_SITES = ("encoder.self", "decoder.self", "decoder.cross")
FAMILIES: dict[str, Family] = _by_name(
    Family("vlt5", "VL-T5", "regions", dict.fromkeys(("vqa", "captioning", "translation"), _T5_SITES), FIX),
    Family(
        "blip",
        "BLIP",
        "pixels",
        {
            "vqa": ("vision.self", "text.self", "text.cross", "decoder.self", "decoder.cross"),
            "captioning": ("vision.self", "decoder.self", "decoder.cross"),
        },
        ("inner_width",),
    ),
)


@dataclass(frozen=True)
class ModelShape:
    """A model as far as attention losses must know it; every dict is keyed by site."""

    family: str
    heads: dict[str, int]
    layers: dict[str, int]
    width: dict[str, int]
    head_size: dict[str, int]


def model_shape(family: str, task: str, model: Mapping[str, Any]) -> ModelShape:
    """model: the `model` part of a canonical run config (layers, width, heads, head_size, ...)."""
    sites = FAMILIES[family].sites[task]
    by_site = {
        key: dict.fromkeys(sites, int(model[key])) for key in ("heads", "layers", "width", "head_size")
    }
    return ModelShape(family=family, **by_site)


# ----------------------------------------------------------------------------------------------------- losses
Supports = Callable[[ModelShape, ModelShape, Mapping[str, Any]], tuple[bool, str]]


def _always(teacher: ModelShape, student: ModelShape, options: Mapping[str, Any]) -> tuple[bool, str]:
    return True, ""


def _equal_heads_unless_dropped(
    teacher: ModelShape, student: ModelShape, options: Mapping[str, Any]
) -> tuple[bool, str]:
    if options["drop"] == "extra":
        return True, ""
    for site, heads in teacher.heads.items():
        if heads != student.heads[site]:
            return False, (
                f"one_to_one compares head h with head h, but at {site} the teacher has {heads} heads and "
                f"the student {student.heads[site]}; set `drop: extra` to leave the surplus heads out"
            )
    return True, ""


@dataclass(frozen=True)
class Loss:
    """A way to distil.

    base: what is trained beside it. "none": nothing, it is the cross-entropy itself; "ce": cross-entropy;
    "logit_kd": cross-entropy and logit distillation. needs: the parts of a trace that it reads ("probs":
    attention maps at the configured sites). labelled_by: the option whose value is in the label (amad_kl).
    """

    name: str
    base: str
    needs: tuple[str, ...]
    options: Mapping[str, OptionSpec] = field(default_factory=dict)
    labelled_by: str | None = None
    supports_shapes: Supports = _always
    version: int = 1

    @property
    def variants(self) -> tuple[str, ...]:
        return self.options[self.labelled_by].choices if self.labelled_by else ()

    @property
    def attention(self) -> bool:
        """Whether it compares attention, so that sites and a layer map matter."""
        return "probs" in self.needs

    @property
    def weighted_parts(self) -> tuple[str, ...]:
        """The keys of `weights` that this loss uses."""
        return {
            "none": ("ce",),
            "ce": ("ce", "logit_kd"),
            "logit_kd": ("ce", "logit_kd", "attention"),
        }[self.base]

    @property
    def uses(self) -> tuple[str, ...]:
        """Names of all losses that a student of this one is trained with, itself included."""
        return {"none": (), "ce": ("ce",), "logit_kd": ("ce", "logit_kd")}[self.base] + (self.name,)

    def complete(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The given options with every default filled in, in the catalogue's order."""
        return {key: options.get(key, spec.default) for key, spec in self.options.items()}

    @property
    def labels(self) -> tuple[str, ...]:
        """Its name and every label that it can have without a `label:`."""
        return (self.name, *(self.label({str(self.labelled_by): variant}) for variant in self.variants))

    def label(self, options: Mapping[str, Any]) -> str:
        return f"{self.name}_{self.complete(options)[self.labelled_by]}" if self.labelled_by else self.name

    def supports(
        self, teacher: ModelShape, student: ModelShape, options: Mapping[str, Any] | None = None
    ) -> tuple[bool, str]:
        """(True, "") or (False, the reason in one sentence)."""
        return self.supports_shapes(teacher, student, self.complete(options or {}))


_HEAD_REDUCTION = OptionSpec(str, "sum", ("sum", "mean"))
_MAP_DISTANCE = OptionSpec(str, "kl", ("kl", "mse"))

LOSSES: dict[str, Loss] = _by_name(
    Loss("ce", "none", ()),
    Loss("logit_kd", "ce", ("logits",), {"temperature": OptionSpec(float, 2.0, above=0.0)}),
    Loss(
        "one_to_one",
        "logit_kd",
        ("probs",),
        {
            "drop": OptionSpec(str, "refuse", ("refuse", "extra")),
            "distance": _MAP_DISTANCE,
            "head_reduction": _HEAD_REDUCTION,
        },
        supports_shapes=_equal_heads_unless_dropped,
    ),
    Loss(
        "student_mean", "logit_kd", ("probs",), {"variant": _MAP_DISTANCE, "head_reduction": _HEAD_REDUCTION}
    ),
    Loss(
        "amad",
        "logit_kd",
        ("probs",),
        {
            "variant": _MAP_DISTANCE,
            "similarity": OptionSpec(str, "cosine", ("cosine", "l1")),
            "temperature": OptionSpec(float, 1.0, above=0.0),
            "detach_alignment": OptionSpec(bool, False),
            "head_reduction": _HEAD_REDUCTION,
            "row_reduction": OptionSpec(str, "mean", ("mean", "sum")),
        },
        labelled_by="variant",
    ),
)
