"""Headroom of each setting: is there room for a distillation loss between the plain student and the teacher?

Every row says what the models saw of an image (features), which splits share images (image_overlap) and
what is wrong with its scores (warning).
"""

import math
from collections.abc import Sequence

import pandas as pd

from amad_bench.analysis.collected import Collected
from amad_bench.analysis.comparisons import NAN
from amad_bench.analysis.scores import ScoreBook
from amad_bench.analysis.settings import CE, DATA, SETTING
from amad_bench.plan.catalogue import METRICS


def headroom_table(collected: Collected) -> pd.DataFrame:
    """One row per setting, on its primary metric.

    Scores of the primary metric in per cent of the way from its worst to its best (`Metric.per_cent`): more
    is better. blind: the same model with the images shuffled; majority: the most frequent output of the
    training split. Flags are empty where one of their scores is missing or the condition is for VQA only.
    """
    book, rows = collected.book, []
    for setting in collected.settings:
        task, losses = setting.axes["task"], setting.by_loss()
        metric = setting.primary_metric
        ce_runs = losses[CE]["run_id"].tolist() if CE in losses else []
        teacher_runs = setting.teachers["run_id"].tolist()
        scored = {
            "teacher": _scored(book, teacher_runs, metric, "test"),
            "ce": _scored(book, ce_runs, metric, "test"),
            "majority": _scored(book, teacher_runs, metric, "test_majority"),
            "teacher_blind": _scored(book, teacher_runs, metric, "test_blind"),
            "ce_blind": _scored(book, ce_runs, metric, "test_blind"),
        }
        score = {column: per_cent for column, (per_cent, _) in scored.items()}
        above_ce, above_majority = score["teacher"] - score["ce"], score["ce"] - score["majority"]
        above_blind = score["teacher"] - score["teacher_blind"]
        rows.append(
            setting.axes
            | setting.data
            | score
            | {
                "metric": metric,
                "difference": above_ce,
                "teacher_above_ce": _holds(above_ce - 10),
                "ce_below_ceiling": _holds(95 - score["ce"], strictly=True),
                "ce_above_majority": _holds(above_majority - 10),
                "majority_low": _holds(20 - score["majority"]),
                "images_matter": _holds(above_blind - 20) if task == "vqa" else None,
                "warning": _warning(metric, [count for _, count in scored.values()]),
            }
        )
    scores_of = ["metric", "teacher", "ce", "difference", "majority", "teacher_blind", "ce_blind"]
    flags = ["teacher_above_ce", "ce_below_ceiling", "ce_above_majority", "majority_low", "images_matter"]
    table = pd.DataFrame(rows, columns=[*SETTING, *DATA, *scores_of, *flags, "warning"])
    return table.astype(dict.fromkeys(flags, "boolean"))


def _scored(book: ScoreBook, run_ids: Sequence[str], metric: str, split: str) -> tuple[float, int]:
    """Mean over the runs that have such scores, in per cent, and how many examples it is of; NaN and 0
    without any."""
    scored = book.having(run_ids, metric, split)
    if not scored:
        return NAN, 0
    matrix = book.matrix(scored, metric, split)
    return METRICS[metric].per_cent(float(matrix.scores_S().mean())), len(matrix.examples)


def _warning(metric: str, counts: Sequence[int]) -> str:
    """Warning that the fewest examples of any score call for; "" without a score."""
    fewest = min((count for count in counts if count), default=None)
    return "" if fewest is None else METRICS[metric].warning_on(fewest)


def _holds(margin: float, strictly: bool = False) -> bool | None:
    if math.isnan(margin):
        return None
    return margin > 0 if strictly else margin >= 0
