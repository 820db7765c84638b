"""Data sets: what they can be used for, what they are read from, how they are scored."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from amad_bench.plan.catalogue.metrics import TASKS
from amad_bench.plan.catalogue.options import OptionSpec, by_name


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


DATASETS: dict[str, Dataset] = by_name(
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


_VQA_METRICS = {"vqa_accuracy": ("vqa_accuracy", "vqa_accuracy_2021"), "exact_match": ("exact_match",)}


def metrics_of(task: str, dataset: str) -> tuple[str, ...]:
    """Names of the metrics that are computed; the first is the primary one."""
    vqa_metric = DATASETS[dataset].vqa_metric
    if task == "vqa" and vqa_metric is not None:
        return _VQA_METRICS[vqa_metric]
    return TASKS[task].metrics


def primary_metric(task: str, dataset: str) -> str:
    return metrics_of(task, dataset)[0]
