"""Tables for people: headroom of each setting, and comparisons of AMAD with the rest; on the primary metric.

Comparisons are in points: metric value times the scale in the catalogue; headroom is in per cent of what can
be reached. Every row says what the models saw of an image (features), which splits share images
(image_overlap) and what is wrong with its scores (warning).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd

from amad_bench.analysis.comparisons import (
    NAN,
    Comparison,
    compare,
    decide,
    not_testable,
)
from amad_bench.analysis.holm import holm, holm_level
from amad_bench.analysis.scores import ScoreBook
from amad_bench.analysis.settings import CE, DATA, SETTING, TEACHER, Setting, settings
from amad_bench.plan.catalogue import METRICS
from amad_bench.scoring.metrics import trouble

AMAD = "amad"


def headroom_table(runs: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """One row per setting: is there room for a distillation loss between the plain student and the teacher?

    Scores of the primary metric in per cent of the way from its worst to its best (`Metric.per_cent`): more
    is better. blind: the same model with the images shuffled; majority: the most frequent output of the
    training split. Flags are empty where one of their scores is missing or the condition is for VQA only.
    """
    book = ScoreBook(scores)
    rows = []
    for setting in settings(runs):
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


def comparisons_table(runs: pd.DataFrame, scores: pd.DataFrame) -> pd.DataFrame:
    """Each AMAD variant against each other loss, per setting, on its primary metric; and each loss
    taught by an assistant against the same loss without one.

    Replicates are paired; those without a score in either loss are left out (n_missing). The contrasts of one
    setting are one family: `p_holm` is adjusted within it and decides the statement. None was registered.
    """
    book = ScoreBook(scores)
    rows = []
    for setting in settings(runs):
        losses = {label: group for label, group in setting.by_loss().items() if label != TEACHER}
        pairs = _pairs(losses)
        contrasts = [_contrast(setting, book, losses[a], losses[b]) for a, b in pairs]
        adjusted = holm([comparison.p_value for comparison, _ in contrasts])
        for (a, b), (comparison, missing), p_holm in zip(pairs, contrasts, adjusted, strict=True):
            decided = decide(comparison, p_holm, holm_level(adjusted))
            rows.append(
                setting.axes
                | setting.data
                | {"metric": setting.primary_metric, "loss_a": a, "loss_b": b, "registered": False}
                | {"assistant_a": losses[a]["assistant"].iloc[0]}
                | asdict(decided)
                | {"p_holm": p_holm, "n_missing": missing}
                | {"warning": _warning(setting.primary_metric, [decided.n_examples])}
            )
    measured = list(Comparison.__dataclass_fields__)
    for known in ("higher_is_better", "region", "p_equivalent", "parts"):  # the metric's, or of no table
        measured.remove(known)
    measured.insert(measured.index("p_value") + 1, "p_holm")
    measured.insert(measured.index("n_seeds") + 1, "n_missing")
    contrast = ["metric", "loss_a", "loss_b", "assistant_a", "registered"]
    return pd.DataFrame(rows, columns=[*SETTING, *DATA, *contrast, *measured, "warning"])


def _pairs(losses: Mapping[str, pd.DataFrame]) -> list[tuple[str, str]]:
    """Labels to compare: AMAD with every rival; what an assistant taught with the same loss without one."""
    name = {label: group["loss_name"].iloc[0] for label, group in losses.items()}
    direct = [label for label, group in losses.items() if pd.isna(group["assistant"].iloc[0])]
    rivals = [(a, b) for a in direct if name[a] == AMAD for b in direct if name[b] != AMAD]
    taught = [label for label in losses if label not in direct]
    return rivals + [(a, b) for a in taught for b in direct if name[a] == name[b]]


def _contrast(setting: Setting, book: ScoreBook, a: pd.DataFrame, b: pd.DataFrame) -> tuple[Comparison, int]:
    """The comparison of two losses' runs, and how many planned pairs of replicates are missing from it."""
    metric = setting.primary_metric
    both = a.merge(b, on="replicate", suffixes=("_a", "_b"), validate="one_to_one").sort_values("replicate")
    planned = list(zip(both["run_id_a"], both["run_id_b"], both["teacher_id_a"], strict=True))
    paired = [ids for ids in planned if len(book.having(ids[:2], metric)) == 2]
    missing = len(planned) - len(paired)
    if not paired:
        return Comparison(reason="no replicate has scores of both losses"), missing
    ids_a, ids_b, teachers = (list(column) for column in zip(*paired, strict=True))
    matrix = book.matrix([*ids_a, *ids_b], metric)  # together: both must have the same examples
    values_a, values_b = np.split(matrix.values, 2)
    comparison = compare(
        values_a,
        values_b,
        clusters=matrix.clusters,
        statistic=matrix.statistic,
        scope="this teacher" if len(set(teachers)) == 1 else "teachers of this kind",
        higher_is_better=METRICS[metric].higher_is_better,
    )
    if reason := trouble(metric, matrix.values.sum(axis=1)):
        comparison = not_testable(comparison, reason)
    return comparison, missing
