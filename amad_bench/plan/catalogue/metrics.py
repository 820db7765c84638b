"""Metrics and the tasks that they belong to."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from amad_bench.plan.catalogue.datasets import Dataset
from amad_bench.plan.catalogue.options import by_name

UNBOUNDED = math.inf


@dataclass(frozen=True)
class Task:
    """A task. source_tokens, target_tokens: that models read and write of common data, about, for estimates
    of costs before there are data. targets: of an example in common data, each learned from by itself.
    """

    name: str
    label: str
    source_tokens: int
    target_tokens: int
    targets: int = 1


TASKS: dict[str, Task] = by_name(
    Task("vqa", "VQA", 15, 5),
    Task("captioning", "Captioning", 4, 15, targets=5),
    Task("translation", "Translation", 25, 25),
)


@dataclass(frozen=True)
class Metric:
    """A metric of a task.

    file: the one in amad_bench/scoring/ with its functions, which end in its name in lower case:
    `measure_<name>` and, of a corpus metric, `total_<name>`. answers: human answers to a question that it
    wants, "several" or "one"; of VQA only. scale: of its values, to the points that tables show. minimum,
    maximum: bounds in points. statistics: how many numbers an example has whose sums give a corpus metric; 0:
    it is the mean over examples. slow: computed on request, by one job for all runs. settings: of a slow one,
    its program and how it is called; package: the Python package that brings the program. absent: by task,
    why it is not computed there, which is said where it is asked for. fewest: of fewer examples tables warn,
    with the sentence `warning`.
    """

    name: str
    label: str
    task: str
    file: str
    answers: str = ""
    higher_is_better: bool = True
    scale: float = 100.0
    minimum: float = 0.0
    maximum: float = 100.0
    statistics: int = 0
    slow: bool = False
    settings: str = ""
    package: str = ""
    absent: Mapping[str, str] = field(default_factory=dict[str, str])
    fewest: int = 0
    warning: str = ""
    version: int = 1

    def fits(self, task: str, dataset: Dataset) -> bool:
        """True where outputs for this task and data set can be measured by it."""
        return self.task == task and self.answers in ("", dataset.answers)

    def per_cent(self, points: float) -> float:
        """Part of the way from the worst score to the best, in per cent.

        A bound that is missing is taken 100 points from the other, and 0 points where there is none: what is
        further away is above 100 or below 0.
        """
        lowest, highest = self.minimum, self.maximum
        if math.isinf(lowest):
            lowest = 0.0 if math.isinf(highest) else highest - 100.0
        if math.isinf(highest):
            highest = lowest + 100.0
        worst, best = (lowest, highest) if self.higher_is_better else (highest, lowest)
        return 100 * (points - worst) / (best - worst)

    def warning_on(self, examples: int) -> str:
        """Sentence that a reader of its scores on so few examples must know, or ""."""
        return f"{self.label} on {examples} {self.warning}" if examples < self.fewest else ""


# In the order of tables; the first of a task, and of a kind of answers, is the primary one.
METRICS: dict[str, Metric] = by_name(
    Metric("vqa_accuracy", "VQA accuracy", "vqa", "vqa", "several"),
    Metric("vqa_accuracy_2021", "VQA accuracy (2021 rule)", "vqa", "vqa", "several"),
    Metric("exact_match", "Exact match", "vqa", "vqa", "one"),
    Metric(
        "CIDEr",
        "CIDEr",
        "captioning",
        "coco",
        maximum=1000.0,
        fewest=50,
        warning="images: it weighs words by how rare they are among the test references, which fewer than 50 "
        "images cannot tell",
    ),
    Metric("Bleu_1", "BLEU-1", "captioning", "coco", statistics=10),
    Metric("Bleu_2", "BLEU-2", "captioning", "coco", statistics=10),
    Metric("Bleu_3", "BLEU-3", "captioning", "coco", statistics=10),
    Metric("Bleu_4", "BLEU-4", "captioning", "coco", statistics=10),
    Metric("ROUGE_L", "ROUGE-L", "captioning", "coco"),
    Metric(
        "METEOR",
        "METEOR",
        "captioning",
        "meteor",
        statistics=23,
        slow=True,
        settings="meteor-1.5|lang:en|norm:yes|tok:ptb",
        package="pycocoevalcap",
        absent={
            "translation": "not computed for translations: its paraphrase tables for German and French do "
            "not come with pycocoevalcap"
        },
    ),
    Metric(
        "SPICE",
        "SPICE",
        "captioning",
        "spice",
        slow=True,
        settings="spice-1.0|parser:stanford-corenlp-3.6.0|tok:ptb",
        package="pycocoevalcap",
    ),
    Metric("BLEU", "BLEU", "translation", "translation", scale=1.0, statistics=10),
    Metric("BLEU_lc", "BLEU (lower case)", "translation", "translation", scale=1.0, statistics=10),
    Metric("chrF2", "chrF2", "translation", "translation", scale=1.0, statistics=18),
    Metric(
        "TER",
        "TER",
        "translation",
        "translation",
        higher_is_better=False,
        scale=1.0,
        maximum=UNBOUNDED,
        statistics=2,
    ),
)
EXTRA_METRICS = tuple(name for name, metric in METRICS.items() if metric.slow)


def metrics_of(task: str, dataset: Dataset) -> tuple[str, ...]:
    """Names of the metrics that every run computes; the first is the primary one."""
    return tuple(name for name, metric in METRICS.items() if not metric.slow and metric.fits(task, dataset))


def primary_metric(task: str, dataset: Dataset) -> str:
    return metrics_of(task, dataset)[0]
