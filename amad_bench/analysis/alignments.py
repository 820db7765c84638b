"""The table `alignments`: how sharp the alignment of heads is over each training, from the step logs.

H teacher heads, G student heads. A logged alignment is the mean over a batch's samples; its rows sum to 1.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from amad_bench.analysis.settings import AMAD
from amad_bench.runtime.run_folder.steps import TrainingStep, read_training

SNAPSHOTS = 5  # steps of a training at which its alignments are shown, from the first to the last logged one
COLUMNS = {
    "run_id": "str",
    "step": "int64",
    "site": "str",
    "layer": "int64",
    "teacher_heads": "int64",
    "heads": "int64",
    "entropy": "float64",
    "sharpness": "float64",
    "bound": "float64",
    "uniform": "float64",
    "weights": "str",
}


def alignments_table(runs: pd.DataFrame, logs: Mapping[str, Path]) -> pd.DataFrame:
    """A row per run, logged step and aligned layer of the student, in the order of `runs`.

    entropy: mean over teacher heads, in nats. sharpness: the largest weight of a teacher head, mean
    over them. bound: the sharpest that AMAD can be; NaN for other losses. uniform: 1/G. weights: the
    alignment_HG as JSON, at SNAPSHOTS steps of the typical run of each family, else "". logs: step logs by
    run id; UserError for a damaged one.
    """
    rows: list[tuple[Any, ...]] = []
    logged: Any = runs[runs["run_id"].isin(list(logs))]
    for run in logged.to_dict("records"):
        rows += _rows(run, aligned_steps(logs[run["run_id"]]))
    table = pd.DataFrame(rows, columns=list(COLUMNS)[:-1]).assign(weights="")
    for run_id in typical_runs(runs, table):
        found = aligned_steps(logs[run_id])
        shown = [found[number] for number in snapshots(len(found))]
        maps = {
            (step.step, key): json.dumps(one.rows) for step in shown for key, one in step.alignment.items()
        }
        own: Any = table["run_id"] == run_id
        places = zip(table.loc[own, "step"], table.loc[own, "site"], table.loc[own, "layer"], strict=True)
        table.loc[own, "weights"] = [maps.get((step, f"{site}/{layer}"), "") for step, site, layer in places]
    return table.astype(COLUMNS)


def aligned_steps(path: Path) -> list[TrainingStep]:
    """The logged steps of a training that have an alignment."""
    return [step for step in read_training(path) if step.alignment]


def _rows(run: Mapping[Any, Any], steps: Sequence[TrainingStep]) -> list[tuple[Any, ...]]:
    temperature = (
        json.loads(run["loss_options"]).get("temperature", 1.0) if run["loss_name"] == AMAD else None
    )
    rows = []
    for line in steps:
        for key, one in line.alignment.items():
            site, layer = key.rsplit("/", 1)
            weights_HG = np.array(one.rows)
            heads, student_heads = weights_HG.shape
            bound = math.nan if temperature is None else sharpest(student_heads, temperature)
            sharpness = float(weights_HG.max(axis=1).mean())
            sizes = (int(layer), heads, student_heads)
            rows.append(
                (run["run_id"], line.step, site, *sizes, one.entropy, sharpness, bound, 1 / student_heads)
            )
    return rows


def sharpest(student_heads: int, temperature: float) -> float:
    """The bound e^(1/tau) / (e^(1/tau) + G - 1) of AMAD's weights: similarities of maps lie in [0, 1]."""
    return 1 / (1 + (student_heads - 1) * math.exp(-1 / temperature))


def snapshots(count: int) -> list[int]:
    """Numbers of the logged steps whose alignments are shown, out of `count`."""
    return [int(number) for number in np.unique(np.linspace(0, count - 1, SNAPSHOTS).round())]


def typical_runs(runs: pd.DataFrame, table: pd.DataFrame) -> list[str]:
    """The run of each family (of AMAD, if any) whose last sharpness, mean over layers, is the median."""
    last: Any = table[table["step"] == table.groupby("run_id")["step"].transform("max")]
    ends = last.groupby("run_id", sort=False)[["sharpness", "bound"]].mean().reset_index()
    ends = runs[["run_id", "family"]].merge(ends, on="run_id")
    found = []
    for _, own in ends.groupby("family", sort=False):
        amad: Any = own[own["bound"].notna()]
        ordered = (own if amad.empty else amad).sort_values("sharpness", kind="stable")
        found.append(str(ordered["run_id"].iloc[(len(ordered) - 1) // 2]))
    return found
