"""The tables of the report about scores: contrasts of losses, means, what limits them."""

from typing import Any

import pandas as pd

from amad_bench.analysis.report.columns import Column
from amad_bench.analysis.report.table import ReportTable, report_table
from amad_bench.analysis.tables.results import ALL
from amad_bench.plan.catalogue import FAMILIES, TASKS
from amad_bench.runtime.results import TableName

_SHOWN = Column(
    "Shown",
    "shown_80",
    "number",
    1,
    says="the smallest difference that this design shows with 80 % power, at the level that decides",
)
_STATEMENT = Column("Statement", "statement", "word")
_REASON = Column("Reason", "reason", "long")
_SEEDS = Column("Seeds", "n_seeds", "number", says="replicates in which both arms have a score")
_MISSING = Column("Missing", "n_missing", "number", says="planned replicates in which one arm has no score")
_DIFFERENCE = Column(
    "Difference [95 %]",
    ("difference", "ci_low", "ci_high"),
    "interval",
    1,
    plus=True,
    says="A minus B, in points, with its 95 % interval",
)
_PAIR = [Column("A", "loss_a", "code"), Column("B", "loss_b", "code")]


def blocks(frame: pd.DataFrame) -> ReportTable:
    columns = [
        Column("Blocks", of=_over, says="those that are averaged"),
        Column("Heads", "heads", says="of teacher and student"),
        *_PAIR,
        _DIFFERENCE,
        Column("Unit", "unit"),
        Column("p", "p_value", "p", says="two-sided"),
        Column("K", "n_blocks", "number", says="independent blocks; those that share a teacher count as one"),
        Column("k of N", of=_k_of_n, says="blocks of N in which A is better, at level .05 for all of them"),
        Column("Seeds", of=_seeds, says="in a block, the fewest to the most"),
        _SHOWN,
        _STATEMENT,
        _REASON,
        Column("Scope", "scope"),
    ]
    return report_table(
        TableName.BLOCKS,
        "Across blocks",
        "The same pair of losses in all blocks (models, task, data and head counts), each block one "
        "observation: would A beat B in another block of this kind?",
        frame,
        columns,
    )


def _over(frame: pd.DataFrame) -> Any:
    labels = {name: record.label for name, record in (FAMILIES | TASKS).items()}
    return frame["over"].map(lambda name: labels.get(name, name))


def _k_of_n(frame: pd.DataFrame) -> Any:
    return frame["n_better"].astype(str) + " of " + frame["n_tested"].astype(str)


def _seeds(frame: pd.DataFrame) -> Any:
    fewest, most = frame["n_seeds_min"].astype(str), frame["n_seeds_max"].astype(str)
    return fewest.where(fewest == most, fewest + "–" + most)


def comparisons(frame: pd.DataFrame) -> ReportTable:
    columns = [
        *_PAIR,
        Column("Assistant of A", "assistant_a"),
        _DIFFERENCE,
        Column("p", "p_value", "p", says="two-sided, unadjusted"),
        Column("p (Holm)", "p_holm", "p", says="adjusted for all contrasts of its setting; it decides"),
        _SEEDS,
        _MISSING,
        _SHOWN,
        Column("Chance A wins", "p_superiority", "number", 2, says="that a run of A beats a run of B"),
        _STATEMENT,
        _REASON,
        Column("Scope", "scope"),
        Column(
            "p if equally unstable",
            "p_setting",
            "p",
            says="were all losses of the setting equally unstable; never a verdict",
        ),
    ]
    return report_table(
        TableName.COMPARISONS,
        "Pairs of losses in one setting",
        "Paired by replicate, on the same test examples. No contrast here was registered before its run.",
        frame,
        columns,
    )


def pairs_of_runs(frame: pd.DataFrame) -> ReportTable:
    columns = [
        *_PAIR,
        Column("Assistant of A", "assistant_a"),
        _DIFFERENCE,
        Column("p", "p_value", "p", says="two-sided; of these two runs, not of their losses"),
        _STATEMENT,
        _REASON,
        Column("Scope", "scope"),
    ]
    return report_table(
        TableName.PAIRS_OF_RUNS,
        "Pairs of runs",
        "One replicate on each side: a difference says something about these two runs, nothing about losses.",
        frame,
        columns,
    )


_MEAN = Column("Mean [95 %]", ("mean", "ci_low", "ci_high"), "interval", 1, says="over seeds, in points")
_COUNTS = [
    Column("Runs", "n_seeds", "number"),
    Column("Failed", "n_failed", "number", says="planned runs without this score; left out of the mean"),
    Column("Examples", "n_examples", "number"),
]


def primary_scores(frame: pd.DataFrame) -> ReportTable:
    rows: Any = frame[frame["primary"]]
    return report_table(
        TableName.RESULTS,
        "Test scores",
        "Means over seeds on the primary metric of each task, in points. The teacher is what its students "
        "learnt from.",
        rows,
        [Column("Loss", "loss", "code"), _MEAN, *_COUNTS],
    )


def other_scores(frame: pd.DataFrame) -> ReportTable:
    rows: Any = frame[~frame["primary"] & (frame["subset"] == ALL)]
    return report_table(
        "other_scores",
        "Other metrics and test sets",
        "The same means on every other metric and test set; parts of a test set stand in results.csv.",
        rows,
        [Column("Loss", "loss", "code"), Column("Test set", "split"), _MEAN, *_COUNTS],
    )


def ranks(frame: pd.DataFrame) -> ReportTable:
    columns = [
        Column("Loss", "loss", "code"),
        Column("Mean", "mean", "number", 1),
        Column("Best rank", "best_rank", "number", says="1 + losses that are significantly better"),
        Column("Worst rank", "worst_rank", "number", says="losses - those that are significantly worse"),
        Column("Of", "n_losses", "number"),
    ]
    return report_table(
        TableName.RANKS,
        "Ranks that are not excluded",
        "A set of ranks for each loss: wide sets mean that the order is not known.",
        frame,
        columns,
    )


def variance(frame: pd.DataFrame) -> ReportTable:
    columns = [
        Column("Source", "source"),
        Column("Mean square", "ms", "number", 2),
        Column("df", "df", "number"),
        Column("F", "F", "number", 2),
        Column("Share", "share", "number", 2, says="of the sum of the variance parts"),
        Column("sd", "sd", "number", 2, says="standard deviation, in points"),
    ]
    return report_table(
        TableName.VARIANCE,
        "Where scores vary",
        "The scores of a setting: parts of seeds, of images, and of losses that do not behave alike on them.",
        frame,
        columns,
    )


def headroom(frame: pd.DataFrame) -> ReportTable:
    columns = [
        Column("Teacher", "teacher", "number", 1),
        Column("ce", "ce", "number", 1, says="the student trained on the labels alone"),
        Column("Between", "difference", "number", 1, says="what distillation could bring"),
        Column("Majority", "majority", "number", 1, says="the most frequent training output"),
        Column("Teacher, blind", "teacher_blind", "number", 1, says="with the images shuffled"),
        Column("ce, blind", "ce_blind", "number", 1),
        Column("Not met", of=_flags_not_met, kind="long"),
    ]
    return report_table(
        TableName.HEADROOM,
        "Room for a difference",
        "In per cent of the way from the metric's worst score to its best. Where teacher and ce lie close, "
        "no loss can show much.",
        frame,
        columns,
    )


_FLAGS = {
    "teacher_above_ce": "teacher 10 above ce",
    "ce_below_ceiling": "ce below 95",
    "ce_above_majority": "ce 10 above majority",
    "majority_low": "majority at most 20",
    "images_matter": "teacher 20 above its blind score",
}


def _flags_not_met(frame: pd.DataFrame) -> Any:
    flags: Any = frame[list(_FLAGS)].astype("boolean").fillna(True)
    unmet = [
        "; ".join(text for text, met in zip(_FLAGS.values(), row, strict=True) if not met)
        for row in flags.itertuples(index=False)
    ]
    return pd.Series(unmet, index=frame.index, dtype=object)
