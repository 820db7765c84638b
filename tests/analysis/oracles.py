"""Scores looked up and computed without the code under test."""

import numpy as np
from sacrebleu.metrics.bleu import BLEU


def values(tables, run_id, metric, split="test"):
    found = tables.scores.query("run_id == @run_id and metric == @metric and split == @split")
    return found.sort_values("example_id")


def sacre_bleu(rows):
    sums = np.array(rows["statistics"].tolist()).sum(axis=0)
    return BLEU.compute_bleu(
        correct=sums[2:6].tolist(),
        total=sums[6:].tolist(),
        sys_len=int(sums[0]),
        ref_len=int(sums[1]),
        smooth_method="exp",
    ).score
