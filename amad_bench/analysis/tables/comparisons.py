"""Comparisons of AMAD with the rest within each setting, on its primary metric.

In points: metric value times the scale in the catalogue. Every row says what the models saw of an image
(features), which splits share images (image_overlap) and what is wrong with its scores (warning).
"""

from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
import pandas as pd

from amad_bench.analysis.collected import Collected
from amad_bench.analysis.comparisons import (
    Comparison,
    compare,
    decide,
    not_testable,
)
from amad_bench.analysis.holm import holm, holm_level
from amad_bench.analysis.scores import ScoreBook
from amad_bench.analysis.settings import DATA, SETTING, TEACHER, Setting
from amad_bench.plan.catalogue import METRICS
from amad_bench.scoring.metrics import trouble

AMAD = "amad"


def comparisons_table(collected: Collected) -> pd.DataFrame:
    """Each AMAD variant against each other loss, per setting, on its primary metric; and each loss
    taught by an assistant against the same loss without one.

    Replicates are paired; those without a score in either loss are left out (n_missing). The contrasts of one
    setting are one family: `p_holm` is adjusted within it and decides the statement. None was registered.
    """
    book, rows = collected.book, []
    for setting in collected.settings:
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
                | {"warning": _warning(setting.primary_metric, decided.n_examples)}
            )
    measured = list(Comparison.__dataclass_fields__)
    for known in ("higher_is_better", "region", "p_equivalent", "parts"):  # the metric's, or of no table
        measured.remove(known)
    measured.insert(measured.index("p_value") + 1, "p_holm")
    measured.insert(measured.index("n_seeds") + 1, "n_missing")
    contrast = ["metric", "loss_a", "loss_b", "assistant_a", "registered"]
    return pd.DataFrame(rows, columns=[*SETTING, *DATA, *contrast, *measured, "warning"])


def _warning(metric: str, examples: int) -> str:
    return METRICS[metric].warning_on(examples) if examples else ""


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
