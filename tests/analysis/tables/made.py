"""Collected tables of a plan whose scores a test chooses, without folders."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from amad_bench.analysis.alignments import COLUMNS as ALIGNMENT_COLUMNS
from amad_bench.analysis.collect import FAILURE_COLUMNS
from amad_bench.analysis.collected import Collected
from amad_bench.analysis.example_groups import EXAMPLE_COLUMNS
from amad_bench.analysis.learning_curves import learning_curves
from amad_bench.analysis.run_columns import run_columns
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.runtime.errors import USABLE

METRIC, EXAMPLES, PER_IMAGE = "vqa_accuracy", 60, 2


def made(
    plan: Plan,
    values: Callable[[Run], np.ndarray],
    status: Mapping[str, str] | None = None,
    majority: float | None = None,
) -> Collected:
    """VQA accuracies (N,) of each run that is usable. status: by run id, else "done".

    majority: score of the majority answer, of runs that are tested with it.
    """
    rows, pages = [], []
    for run in plan.runs:
        state = (status or {}).get(run.id, "done")
        rows.append(run_columns(run) | {"status": state, "features": "regions", "image_overlap": "none"})
        if run.kind == "pretrain" or state not in USABLE:
            continue
        pages.append(page(run.id, "test", values(run)))
        if majority is not None and run.config.controls:
            pages.append(page(run.id, "test_majority", np.full(EXAMPLES, majority)))
    numbers = dict.fromkeys(("teacher_heads", "student_heads", "replicate"), "Int64")
    runs = pd.DataFrame(rows).astype(numbers)
    return Collected(
        plan,
        runs,
        scores=pd.concat(pages),
        examples=pd.DataFrame(columns=EXAMPLE_COLUMNS),
        learning_curves=learning_curves(runs, {}),
        alignments=pd.DataFrame(columns=[*ALIGNMENT_COLUMNS]),
        failures=pd.DataFrame(columns=FAILURE_COLUMNS),
    )


def page(run_id: str, split: str, values: np.ndarray) -> pd.DataFrame:
    numbers = range(len(values))
    shared = {"run_id": run_id, "split": split, "metric": METRIC, "value": values, "statistics": None}
    examples = {"example_id": [f"e{number:03d}" for number in numbers]}
    return pd.DataFrame(
        shared | examples | {"cluster_id": [f"i{number // PER_IMAGE:03d}" for number in numbers]}
    )


def noisy(means: Mapping[str, float], sd: float = 0.02) -> Callable[[Run], np.ndarray]:
    """Scores about a mean by loss label; noise of images that all runs share, of runs and of examples."""
    images = np.random.default_rng(1).normal(0, 0.1, EXAMPLES // PER_IMAGE).repeat(PER_IMAGE)

    def values(run: Run) -> np.ndarray:
        own = np.random.default_rng([ord(letter) for letter in run.id])
        label = run.config.loss.label if run.kind == "student" else "teacher"
        noise = own.normal(0, sd) + own.normal(0, 0.05, EXAMPLES)
        return np.clip(means.get(label, 0.5) + images + noise, 0, 1)

    return values
