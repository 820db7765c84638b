"""The scores of a run's predictions, split by split, as rows of scores.parquet."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.run_folder.predictions import Prediction, check_split
from amad_bench.runtime.run_folder.scores import SCORE_COLUMNS
from amad_bench.scoring.captions import Captions, score_caption_corpora
from amad_bench.scoring.corpus import Scores
from amad_bench.scoring.translation import score_translations
from amad_bench.scoring.vqa import Rule, exact_match, vqa_accuracy

COLUMNS = tuple(column for column in SCORE_COLUMNS if column not in ("run_id", "split"))

Rows = Sequence[Prediction]  # of one split


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
        found = score_caption_corpora({split: captions_of(rows) for split, rows in rows_by_split.items()})
        return {
            split: Scored(score_frame(rows_by_split[split], own.scores), own.unavailable, {})
            for split, own in found.items()
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
    rules: dict[str, Rule] = {"vqa_accuracy": "2017", "vqa_accuracy_2021": "2021"}
    return {
        metric: ([vqa_accuracy(row.prediction, row.references, rule) for row in rows], None)
        for metric, rule in rules.items()
    }


def captions_of(rows: Rows) -> Captions:
    """UserError for an example without a reference."""
    for row in rows:
        if not row.references:
            raise UserError(
                f"captions: example {row.example_id!r} has no reference caption; "
                "give one or leave the example out"
            )
    return [(row.references, row.prediction) for row in rows]


def _score_translation(rows: Rows) -> Scored:
    references = _only_references(rows, "translation")
    scores, signatures = score_translations(references, [row.prediction for row in rows])
    return Scored(score_frame(rows, scores), {}, signatures)


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
