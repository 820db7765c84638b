"""The scores of a run's predictions, split by split, as rows of scores.parquet."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.run_folder.predictions import Prediction, check_split
from amad_bench.runtime.run_folder.scores import SCORE_COLUMNS
from amad_bench.scoring.captions import CaptionScores, Texts, score_caption_corpora
from amad_bench.scoring.translation import score_translations
from amad_bench.scoring.vqa import exact_match, vqa_accuracy

COLUMNS = tuple(column for column in SCORE_COLUMNS if column not in ("run_id", "split"))

Rows = Sequence[Prediction]  # of one split
# metric -> values and sufficient statistics (None for a metric that is a mean), in the predictions' order
Scores = dict[str, tuple[list[float], list[list[float]] | None]]


@dataclass(frozen=True)
class Scored:
    """`frame`: per-example scores (COLUMNS; a row per metric and example). `unavailable`: metric -> reason.

    `signatures`: metric -> how it was computed; empty but for translation.
    """

    frame: pd.DataFrame
    unavailable: dict[str, str]
    signatures: dict[str, str]


def score_splits(task: str, vqa_metric: str, rows_by_split: Mapping[str, Rows]) -> dict[str, Scored]:
    """The scores of a run's predictions, by split; captions of all splits start Java once.

    `task`: vqa, captioning or translation; `vqa_metric` (read for vqa only): "vqa_accuracy", which adds
    vqa_accuracy_2021, or "exact_match". `statistics` is None where the corpus score is the mean of `value`.
    UserError for no rows, repeated ids, rows of another split or a wrong number of references.
    """
    for split, rows in rows_by_split.items():
        check_split(split, rows)
    if task == "vqa":
        return {
            split: Scored(score_frame(rows, _score_vqa(vqa_metric, rows)), {}, {})
            for split, rows in rows_by_split.items()
        }
    if task == "captioning":
        scored = score_caption_corpora({split: texts_of(rows) for split, rows in rows_by_split.items()})
        return {
            split: Scored(score_frame(rows, caption_scores(scored[split])), scored[split].unavailable, {})
            for split, rows in rows_by_split.items()
        }
    if task == "translation":
        return {split: _score_translation(rows) for split, rows in rows_by_split.items()}
    raise ValueError(f"task {task!r}: expected vqa, captioning or translation")


def _score_vqa(vqa_metric: str, rows: Rows) -> Scores:
    if vqa_metric == "exact_match":
        answers = _only_references(rows, "exact match")
        pairs = zip(rows, answers, strict=True)
        return {"exact_match": ([exact_match(row.prediction, answer) for row, answer in pairs], None)}
    if vqa_metric != "vqa_accuracy":
        raise ValueError(f"VQA metric {vqa_metric!r}: expected vqa_accuracy or exact_match")
    return {
        "vqa_accuracy": ([vqa_accuracy(row.prediction, row.references, "2017") for row in rows], None),
        "vqa_accuracy_2021": (
            [vqa_accuracy(row.prediction, row.references, "2021") for row in rows],
            None,
        ),
    }


def texts_of(rows: Rows) -> tuple[Texts, dict[str, str]]:
    """References and predictions by example id."""
    return (
        {row.example_id: row.references for row in rows},
        {row.example_id: row.prediction for row in rows},
    )


def caption_scores(scored: CaptionScores) -> Scores:
    """The metrics that could be computed."""
    return {
        metric: (scored.per_example[metric].tolist(), scored.statistics.get(metric))
        for metric in scored.corpus
    }


def _score_translation(rows: Rows) -> Scored:
    references = _only_references(rows, "translation")
    hypotheses = [row.prediction for row in rows]
    cased = score_translations(references, hypotheses)
    lower = score_translations(references, hypotheses, lowercase=True, metrics=("BLEU",))
    scores: Scores = {
        metric: (cased.sentence_scores[metric].tolist(), cased.per_sentence[metric].tolist())
        for metric in cased.corpus
    }
    scores["BLEU_lc"] = (lower.sentence_scores["BLEU"].tolist(), lower.per_sentence["BLEU"].tolist())
    return Scored(score_frame(rows, scores), {}, {**cased.signatures, "BLEU_lc": lower.signatures["BLEU"]})


def score_frame(rows: Rows, scores: Scores) -> pd.DataFrame:
    """COLUMNS; all examples of the first metric, then all of the next."""

    def repeated(values: Iterable[str]) -> pd.Series:
        return pd.Series(list(values) * len(scores), dtype="str")

    statistics: list[list[float] | None] = []
    for _, per_example in scores.values():
        statistics.extend(per_example if per_example is not None else [None] * len(rows))
    return pd.DataFrame(
        {
            "metric": pd.Series([metric for metric in scores for _ in rows], dtype="str"),
            "example_id": repeated(row.example_id for row in rows),
            "cluster_id": repeated(row.cluster_id for row in rows),
            "value": pd.Series([value for values, _ in scores.values() for value in values], dtype="float64"),
            "statistics": pd.Series(statistics, dtype=object),
        }
    )


def _only_references(rows: Rows, what: str) -> list[str]:
    for row in rows:
        if len(row.references) != 1:
            raise UserError(
                f"{what}: example {row.example_id!r} has {len(row.references)} references; expected one"
            )
    return [row.references[0] for row in rows]
