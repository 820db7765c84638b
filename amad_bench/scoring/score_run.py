"""The scores of one run's predictions on one split, as rows of `scores.parquet`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from amad_bench.runtime.errors import UserError
from amad_bench.scoring.captions import BLEU, score_captions
from amad_bench.scoring.translation import score_translations
from amad_bench.scoring.vqa import exact_match, vqa_accuracy

COLUMNS = ("metric", "example_id", "cluster_id", "value", "statistics")
SCORE_COLUMNS = ["run_id", "split", *COLUMNS]  # of scores.parquet

# metric -> values and sufficient statistics (None for a metric that is a mean), in the predictions' order
_Scores = dict[str, tuple[list[float], list[list[float]] | None]]


@dataclass(frozen=True)
class Scored:
    """`frame`: per-example scores (COLUMNS; a row per metric and example). `unavailable`: metric -> reason.

    `signatures`: metric -> sacreBLEU's signature; empty but for translation.
    """

    frame: pd.DataFrame
    unavailable: dict[str, str]
    signatures: dict[str, str]


def score_predictions(task: str, vqa_metric: str, rows: list[dict[str, Any]]) -> Scored:
    """The scores of one split's predictions.

    `rows`: records of predictions.jsonl, all of one split. `task`: vqa, captioning or translation;
    `vqa_metric` (read for vqa only): "vqa_accuracy", which adds vqa_accuracy_2021, or "exact_match".
    `statistics` is None where the corpus score is the mean of `value`. UserError for no rows, repeated ids,
    mixed splits or a wrong number of references.
    """
    _check(rows)
    unavailable: dict[str, str] = {}
    signatures: dict[str, str] = {}
    if task == "vqa":
        scores = _score_vqa(vqa_metric, rows)
    elif task == "captioning":
        scores, unavailable = _score_captioning(rows)
    elif task == "translation":
        scores, signatures = _score_translation(rows)
    else:
        raise ValueError(f"task {task!r}: expected vqa, captioning or translation")
    return Scored(_frame(rows, scores), unavailable, signatures)


def _score_vqa(vqa_metric: str, rows: list[dict[str, Any]]) -> _Scores:
    if vqa_metric == "exact_match":
        answers = _only_references(rows, "exact match")
        pairs = zip(rows, answers, strict=True)
        return {"exact_match": ([exact_match(row["prediction"], answer) for row, answer in pairs], None)}
    if vqa_metric != "vqa_accuracy":
        raise ValueError(f"VQA metric {vqa_metric!r}: expected vqa_accuracy or exact_match")
    return {
        "vqa_accuracy": ([vqa_accuracy(row["prediction"], row["references"], "2017") for row in rows], None),
        "vqa_accuracy_2021": (
            [vqa_accuracy(row["prediction"], row["references"], "2021") for row in rows],
            None,
        ),
    }


def _score_captioning(rows: list[dict[str, Any]]) -> tuple[_Scores, dict[str, str]]:
    scored = score_captions(
        {row["example_id"]: row["references"] for row in rows},
        {row["example_id"]: row["prediction"] for row in rows},
    )
    statistics = list(scored.bleu_statistics.values())
    scores: _Scores = {
        metric: (scored.per_example[metric].tolist(), statistics if metric in BLEU else None)
        for metric in scored.corpus
    }
    return scores, scored.unavailable


def _score_translation(rows: list[dict[str, Any]]) -> tuple[_Scores, dict[str, str]]:
    references = _only_references(rows, "translation")
    hypotheses = [row["prediction"] for row in rows]
    cased = score_translations(references, hypotheses)
    lower = score_translations(references, hypotheses, lowercase=True, metrics=("BLEU",))
    scores: _Scores = {
        metric: (cased.sentence_scores[metric].tolist(), cased.per_sentence[metric].tolist())
        for metric in cased.corpus
    }
    scores["BLEU_lc"] = (lower.sentence_scores["BLEU"].tolist(), lower.per_sentence["BLEU"].tolist())
    return scores, {**cased.signatures, "BLEU_lc": lower.signatures["BLEU"]}


def _frame(rows: list[dict[str, Any]], scores: _Scores) -> pd.DataFrame:
    def repeated(values: Iterable[str]) -> pd.Series:
        return pd.Series(list(values) * len(scores), dtype="str")

    statistics: list[list[float] | None] = []
    for _, per_example in scores.values():
        statistics.extend(per_example if per_example is not None else [None] * len(rows))
    return pd.DataFrame(
        {
            "metric": pd.Series([metric for metric in scores for _ in rows], dtype="str"),
            "example_id": repeated(row["example_id"] for row in rows),
            "cluster_id": repeated(row["cluster_id"] for row in rows),
            "value": pd.Series([value for values, _ in scores.values() for value in values], dtype="float64"),
            "statistics": pd.Series(statistics, dtype=object),
        }
    )


def _only_references(rows: list[dict[str, Any]], what: str) -> list[str]:
    for row in rows:
        if len(row["references"]) != 1:
            raise UserError(
                f"{what}: example {row['example_id']!r} has {len(row['references'])} references; expected one"
            )
    return [row["references"][0] for row in rows]


def _check(rows: list[dict[str, Any]]) -> None:
    if not rows:
        raise UserError("no predictions to score; decode the split first")
    splits = sorted({row["split"] for row in rows})
    if len(splits) > 1:
        raise UserError(
            f"predictions of the splits {', '.join(splits)} in one scoring; score one split at a time"
        )
    seen: set[str] = set()
    for row in rows:
        if row["example_id"] in seen:
            raise UserError(
                f"example {row['example_id']!r} was predicted twice in split {splits[0]!r}; decode it again"
            )
        seen.add(row["example_id"])
