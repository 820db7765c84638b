"""Metrics and the tasks that they belong to."""

from dataclasses import dataclass

from amad_bench.plan.catalogue.options import by_name


@dataclass(frozen=True)
class Metric:
    """A metric; tables show value * scale, at most `maximum`; corpus metrics come from summed statistics."""

    name: str
    label: str
    scale: float = 100.0
    maximum: float = 100.0
    corpus: bool = False
    version: int = 1


METRICS: dict[str, Metric] = by_name(
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
    Metric("METEOR", "METEOR", corpus=True),
    Metric("SPICE", "SPICE"),
)
EXTRA_METRICS = ("METEOR", "SPICE")  # computed on request, by one job for all runs


@dataclass(frozen=True)
class Task:
    """A task; `metrics` is empty for VQA: there they depend on how many answers a question has."""

    name: str
    label: str
    metrics: tuple[str, ...] = ()


TASKS: dict[str, Task] = by_name(
    Task("vqa", "VQA"),
    Task("captioning", "Captioning", ("CIDEr", "Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4", "ROUGE_L")),
    Task("translation", "Translation", ("BLEU", "BLEU_lc", "chrF2", "TER")),
)
