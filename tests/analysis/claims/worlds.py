"""Collected tables whose truth is known, without files: twelve examples a run, at the level that is drawn."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from amad_bench.analysis.claims.tables import claim_parts_table, claims_table
from amad_bench.analysis.collected import Collected
from amad_bench.analysis.run_columns import run_columns
from amad_bench.plan.claims.load import load_claims
from amad_bench.plan.claims.schema import ClaimsFile
from amad_bench.plan.config.checks import check_meaning
from amad_bench.plan.config.schema import Config
from amad_bench.plan.grid import expand
from amad_bench.plan.run import Run
from amad_bench.runtime.errors import USABLE
from tests.truth import LOSS, Truth

CLAIMS = Path(__file__).parents[3] / "configs/claims.yaml"
METRIC = {"vqa": ("vqa_accuracy", 100.0), "captioning": ("CIDEr", 100.0)}
TASKS = (("vlt5", "vqa"), ("vlt5", "captioning"), ("blip", "vqa"), ("blip", "captioning"))
EXAMPLES = 12
VARIANTS = {
    **LOSS,
    "amad_projected": {"name": "amad", "variant": "projected"},
    "amad_token": {"name": "amad", "variant": "token"},
}
NULL = dict.fromkeys(("ce", "logit_kd", "one_to_one", "student_mean", "amad_kl", "amad_kl_sharp"), 0.0)
NULL |= dict.fromkeys(("amad_mse", "amad_projected", "amad_token"), 0.0)

Level = Callable[[Run], float]  # points of a run


def world(
    effects: Mapping[str, float] | None = None,
    *,
    claims: ClaimsFile | None = None,
    status: Callable[[Run], str] = lambda _: "done",
    level: Callable[[Level], Level] = lambda drawn: drawn,
    changes: Mapping[str, Any] | None = None,
    **truth: Any,
) -> Collected:
    """What `collect` would give for the runs of a truth; see `Truth` for its arguments.

    effects: of losses, above `ce`; left out, none has any. claims: by default the shipped ones. status: of
    each run. level: may change the levels that the truth draws.
    """
    effects = NULL | dict(effects or {})
    losses = [VARIANTS.get(label, {"name": label}) for label in effects]
    defaults = {
        "tasks": TASKS,
        "students": (4, 2, 1),
        "run_sd": 0.2,
        "block_sd": 0.5,
        "failed": {},
        "missing": {},
    }
    known = Truth(effects=effects, changes={"losses": losses, **(changes or {})}, **defaults | truth)
    config = Config.model_validate(known.config())
    assert not check_meaning(config)
    plan = replace(expand(config), claims=claims or load_claims(CLAIMS))
    points = level(known.points)
    rows, scores = [], []
    for run in plan.runs:
        rows.append(run_columns(run) | {"status": status(run), "features": "f", "image_overlap": "none"})
        if run.kind != "pretrain" and status(run) in USABLE:
            scores.append(scores_of(run, points(run)))
        if run.config.controls:
            scores.append(scores_of(run, 10.0, "test_majority"))
    runs = pd.DataFrame(rows).astype(
        {"teacher_heads": "Int64", "student_heads": "Int64", "replicate": "Int64"}
    )
    nothing = pd.DataFrame()
    return Collected(plan, runs, pd.concat(scores, ignore_index=True), *[nothing] * 4)


def scores_of(run: Run, points: float, split: str = "test") -> pd.DataFrame:
    """Scores whose mean is exactly so many points; each example is an image of its own."""
    metric, scale = METRIC[run.config.task]
    shift = np.linspace(-0.1, 0.1, EXAMPLES) * (1 + len(run.id) % 3)
    own = np.random.default_rng([ord(letter) for letter in run.id]).normal(0, 0.02, EXAMPLES)
    return pd.DataFrame(
        {
            "run_id": run.id,
            "split": split,
            "metric": metric,
            "example_id": [f"e{number:02d}" for number in range(EXAMPLES)],
            "cluster_id": [f"i{number:02d}" for number in range(EXAMPLES)],
            "value": points / scale + shift + own - own.mean(),
            "statistics": None,
        }
    )


def points_of(collected: Collected, **axes: Any) -> np.ndarray:
    """Scores of the students with these columns, in points, by replicate; without the code."""
    runs = collected.runs[collected.runs["kind"] == "student"]
    for column, value in axes.items():
        runs = runs[runs[column] == value]
    of_test = collected.scores[collected.scores["split"] == "test"].groupby("run_id")["value"].mean()
    scale = METRIC[runs["task"].iloc[0]][1]
    return scale * of_test.loc[runs.sort_values("replicate")["run_id"]].to_numpy()


VQA = (("vlt5", "vqa"), ("blip", "vqa"))
A_B = [{"weight": 1.0, "loss": "amad_kl"}, {"weight": -1.0, "loss": "logit_kd"}]
EFFECTS = {"amad_kl": 1.0, "logit_kd": 0.5}
SETTING = {"family": "vlt5", "task": "vqa", "student_heads": 2}


def few(changes: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """A world of three losses in six blocks on one metric."""
    losses = [{"name": "ce"}, {"name": "logit_kd"}, VARIANTS["amad_kl"], VARIANTS["amad_mse"]]
    return {"tasks": VQA, "changes": {"losses": losses} | (changes or {})} | more


def claims(looks: Any = "once", **kind: Any) -> ClaimsFile:
    known = {"id": "A", "text": "A beats B", "answered_by": ["configs/gpu.yaml"]}
    return ClaimsFile.model_validate({"looks": looks, "claims": [known | kind]})


def over_blocks(**more: Any) -> dict[str, Any]:
    return {"contrasts": [{"over": "blocks", "arms": A_B} | more]}


def in_setting(arms: list[dict[str, Any]] = A_B, **more: Any) -> dict[str, Any]:
    return {"contrasts": [{"over": "setting", "where": SETTING, "arms": arms} | more]}


def tables(collected: Collected) -> tuple[Any, Any]:
    """The row of the claim and that of its first part."""
    parts = claim_parts_table(collected)
    return claims_table(collected).iloc[0], None if parts.empty else parts.iloc[0]


def block_means(collected: Collected, weights: dict[str, float]) -> np.ndarray:
    """(6,) weighted means over seeds, from the scores alone."""
    return np.array(
        [
            sum(
                weight * points_of(collected, family=family, student_heads=heads, loss=loss).mean()
                for loss, weight in weights.items()
            )
            for family in ("vlt5", "blip")
            for heads in (4, 2, 1)
        ]
    )
