"""Comparisons of AMAD's variants with the other losses and with each other, on each setting's primary metric.

In points: metric value times the scale in the catalogue. Every row says what the models saw of an image
(features), which splits share images (image_overlap) and what is wrong with its scores (warning).
"""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import pandas as pd

from amad_bench.analysis.collected import Collected
from amad_bench.analysis.comparisons import NAN
from amad_bench.analysis.loss_scores import ByReplicate, as_array, scores_of
from amad_bench.analysis.scores import ScoreBook
from amad_bench.analysis.setting_test import SettingTest, setting_test
from amad_bench.analysis.settings import AMAD, DATA, SETTING, Setting
from amad_bench.analysis.tables.pairs import Pair, alone, decided, losses_of, methods_of, pair_of
from amad_bench.plan.catalogue import METRICS

_CONTRAST = ["metric", "loss_a", "loss_b", "assistant_a", "registered"]
_MEASURED = [
    *("difference", "ci_low", "ci_high", "p_value", "p_holm", "df_seeds", "df_clusters"),
    *("n_seeds", "n_missing", "n_failed_a", "n_failed_b", "n_examples", "n_clusters", "shown_80"),
    *("p_superiority", "effect_in_seed_sd", "statement", "reason", "scope", "method"),
    *("difference_with_failed", "p_setting", "ci_setting_low", "ci_setting_high", "sd_a", "sd_b", "levene_p"),
]
_ALONE = [column for column in _MEASURED if column != "p_holm"]


def comparisons_table(collected: Collected) -> pd.DataFrame:
    """Each AMAD variant against each other loss and against the variants behind it; and each loss taught by
    an assistant against the same loss without one. A row per pair with two or more common replicates, or
    none.

    Replicates are paired; those without a score in either loss are left out (n_missing). The pairs of one
    setting are one family: `p_holm` is adjusted within it and decides the statement. None was registered.
    difference_with_failed: with failed runs at the majority answer's scores, where some failed. `*_setting`:
    if the losses are equally unstable, beside the standard deviations over seeds and Levene's p; no verdict.
    """
    rows = []
    for setting in collected.settings:
        losses, metric = losses_of(setting), setting.primary_metric
        pairs = _pairs_of(setting, collected.book, losses, several=True)
        if not pairs:
            continue
        methods = methods_of(collected.book, losses, metric)
        scores = {label: scores_of(collected.book, losses[label], metric) for label in {*methods.values()}}
        for pair in decided(pairs, methods):
            row = _row(setting, losses, pair)
            rows.append(row | {"p_holm": pair.p_holm} | _in_setting(pair, methods, scores, metric))
    return pd.DataFrame(rows, columns=[*SETTING, *DATA, *_CONTRAST, *_MEASURED, "warning"])


def pairs_of_runs_table(collected: Collected) -> pd.DataFrame:
    """The same pairs where there is one common replicate: what they say holds for these two runs only."""
    rows = [
        _row(setting, losses, alone(pair))
        for setting in collected.settings
        for losses in [losses_of(setting)]
        for pair in _pairs_of(setting, collected.book, losses, several=False)
    ]
    return pd.DataFrame(rows, columns=[*SETTING, *DATA, *_CONTRAST, *_ALONE, "warning"])


def _pairs_of(
    setting: Setting, book: ScoreBook, losses: Mapping[str, pd.DataFrame], several: bool
) -> list[Pair]:
    metric = setting.primary_metric
    return [
        pair_of(setting, book, losses, a, b)
        for a, b in _pairs(losses)
        if _several(book, losses[a], losses[b], metric) == several
    ]


def _several(book: ScoreBook, a: pd.DataFrame, b: pd.DataFrame, metric: str) -> bool:
    """Whether two replicates or more have scores of both, or none has where more than one was planned."""
    scored = [set(rows["replicate"][rows["run_id"].isin(_having(book, rows, metric))]) for rows in (a, b)]
    common = scored[0] & scored[1]
    return len(common) > 1 if common else max(len(a), len(b)) > 1


def _having(book: ScoreBook, rows: pd.DataFrame, metric: str) -> list[str]:
    return book.having(rows["run_id"].tolist(), metric)


def _pairs(losses: Mapping[str, pd.DataFrame]) -> list[tuple[str, str]]:
    """Labels to compare: AMAD with every rival, and its variants with each other; what an assistant taught
    with the same loss without one."""
    name = {label: group["loss_name"].iloc[0] for label, group in losses.items()}
    direct = [label for label, group in losses.items() if pd.isna(group["assistant"].iloc[0])]
    variants = [label for label in direct if name[label] == AMAD]
    rivals = [(a, b) for a in variants for b in direct if name[b] != AMAD]
    taught = [label for label in losses if label not in direct]
    assisted = [(a, b) for a in taught for b in direct if name[a] == name[b]]
    return [*rivals, *combinations(variants, 2), *assisted]


def _row(setting: Setting, losses: Mapping[str, pd.DataFrame], pair: Pair) -> dict[str, Any]:
    metric, found = setting.primary_metric, pair.comparison
    failed_a, failed_b = pair.contrast.n_failed
    return (
        setting.axes
        | setting.data
        | {"metric": metric, "loss_a": pair.loss_a, "loss_b": pair.loss_b, "registered": False}
        | {"assistant_a": losses[pair.loss_a]["assistant"].iloc[0]}
        | {column: getattr(found, column) for column in _MEASURED if hasattr(found, column)}
        | {"n_missing": pair.contrast.n_missing, "n_failed_a": failed_a, "n_failed_b": failed_b}
        | {"difference_with_failed": pair.with_failed.difference if pair.with_failed else NAN}
        | {"warning": METRICS[metric].warning_on(found.n_examples) if found.n_examples else ""}
    )


def _in_setting(
    pair: Pair, methods: Mapping[str, str], scores: Mapping[str, ByReplicate], metric: str
) -> dict[str, float]:
    """The columns about all losses of the setting that have the pair's replicates."""
    replicates, estimate = pair.contrast.replicates[0], pair.contrast.estimate
    if len(replicates) < 2:
        return {}
    beside = [label for label in scores if set(replicates) <= scores[label].keys()]
    places = beside.index(methods[pair.loss_a]), beside.index(methods[pair.loss_b])
    table_LS = as_array(scores, beside, replicates)
    test = SettingTest() if pair.contrast.same else setting_test(estimate, table_LS, places, METRICS[metric])
    sd_a, sd_b = (float(own_S.std(ddof=1)) for own_S in pair.contrast.scores)
    named = {"p_setting": test.p_value, "ci_setting_low": test.ci_low, "ci_setting_high": test.ci_high}
    return named | {"sd_a": sd_a, "sd_b": sd_b, "levene_p": test.levene_p}
