"""A results folder with every table that the report reads: a few rows by hand, with texts like HTML."""

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from amad_bench.analysis.collect import collect
from amad_bench.analysis.figures.files import Shown, write_shown
from amad_bench.analysis.report.report import report
from amad_bench.plan.config.schema import Config
from amad_bench.runtime.files import write_table
from amad_bench.runtime.results import ResultsFolder
from amad_bench.runtime.results import TableName as Table
from amad_bench.runtime.run_folder.predictions import read_predictions, write_predictions
from tests.analysis.conftest import make_plan, make_raw, write_run

EVIL = "</script><script>document.title = 'broken'</script><img src=x onerror=\"document.title='broken'\">"
NAN = float("nan")
AXES: dict[str, Any] = {
    "family": "vlt5",
    "task": "vqa",
    "dataset": "scenes",
    "limit": "no data limit",
    "examples": "6000",
    "inputs": "regions: crop 8",
    "precision": "fp32",
    "teacher_heads": 8,
    "student_heads": 2,
    "student": None,
    "student_shape": "2x48",
    "heads_keep": "inner_width",
    "budget": "steps",
    "teacher_pretraining": "none",
    "pretraining": "none",
    "cut": "random",
    "features": "raw patches",
    "image_overlap": "none",
}
PAIR = {"metric": "vqa_accuracy", "loss_a": "amad_kl", "loss_b": "ce", "assistant_a": None}
TESTED = {"ci_low": -1.0, "ci_high": 3.0, "p_value": 0.04, "shown_80": 4.5, "scope": "this teacher"}
SAID = {"statement": "inconclusive", "reason": EVIL}


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame(rows)


def comparisons() -> pd.DataFrame:
    """Forty rows with the differences -3, -2.5 ... in an order that is not sorted."""
    counts = {"n_seeds": 3, "n_missing": 0}
    further = {"p_holm": 0.4, "p_superiority": NAN, "p_setting": 0.03, "warning": ""}
    return frame(
        *(
            AXES
            | PAIR
            | TESTED
            | SAID
            | counts
            | further
            | {"student_heads": 2 + number % 2, "difference": (7 * number % 40) / 2 - 3}
            for number in range(40)
        )
    )


def tables() -> dict[Table, pd.DataFrame]:
    """What `amad-bench compare` makes, as far as the report reads it."""
    scores = {"n_seeds": 2, "n_failed": 1, "n_examples": 240, "mean": 61.25, "ci_low": 55.0, "ci_high": NAN}
    result = (
        AXES
        | scores
        | {"metric": "vqa_accuracy", "split": "test", "subset": "all", "warning": "few examples"}
    )
    flags = dict.fromkeys(("teacher_above_ce", "ce_below_ceiling", "ce_above_majority", "majority_low"), True)
    room = dict.fromkeys(("teacher", "ce", "difference", "majority", "teacher_blind", "ce_blind"), 50.0)
    block = {
        "over": "all",
        "unit": "points",
        "n_blocks": 5,
        "n_seeds_min": 2,
        "n_seeds_max": 3,
        "n_better": 3,
    }
    part = {"claim": "C1", "part": "amad_kl - ce", "direction": "better", "unit": "points", "n_blocks": 5}
    claim = {"scope": "blocks of this kind", "look": None, "level": 0.05, "n_blocks": 5, "n_seeds": 2}
    claim |= {"p_value": 0.01, "p_holm": NAN, "hash": "abcd1234", "answered_by": "configs/methods.yaml"}
    lacking = {"verdict": "not testable here", "missing": "head counts that differ", "p_value": NAN}
    steps = AXES | {"kind": "teacher", "loss": "ce", "n_runs": 1, "n_failed": 0, "first_step": 500}
    return {
        Table.RESULTS: frame(
            result | {"loss": "ce", "primary": True},
            result | {"loss": "amad_kl", "primary": True},
            result | {"loss": "ce", "primary": False, "metric": "vqa_accuracy_2021"},
        ),
        Table.COMPARISONS: comparisons(),
        Table.PAIRS_OF_RUNS: comparisons().head(0),
        Table.RANKS: frame(
            AXES
            | {"metric": "vqa_accuracy", "loss": "ce", "mean": 61.0, "best_rank": 1}
            | {"worst_rank": 2, "n_losses": 2}
        ),
        Table.VARIANCE: frame(
            AXES
            | {"metric": "vqa_accuracy", "source": "seed", "ms": 1.0, "df": 2, "F": NAN}
            | {"share": 0.4, "sd": 1.2}
        ),
        Table.HEADROOM: frame(
            AXES | room | flags | {"metric": "vqa_accuracy", "images_matter": False, "warning": ""}
        ),
        Table.POWER: frame(
            {"test": "pair", "metric": "vqa_accuracy", "n_seeds": 3, "n_blocks": NAN}
            | {"unit": "points", "shown_80": 6.0, "floor_80": 0.6}
        ),
        Table.STEPS_TO_SCORE: frame(steps | {"reached": "yes", "fixed_score": 0.5, "best_score": 0.6}),
        Table.PUBLISHED: frame(
            {"work": EVIL, "model": "VL-T5", "pretraining": "180K", "task": "VQAv2", "split": "test"}
            | {"metric": "vqa_accuracy", "value": 70.3, "source": "table 2", "dataset": "vqa_v2"}
            | {"family": "vlt5", "teacher_heads": 8, "teacher_pretraining": "vl", "mean": 61.5}
            | {"ci_low": 60.0, "ci_high": 63.0}
        ),
        Table.LOSS_FAILURES: frame(
            {"family": "vlt5", "task": "vqa", "loss": "ce", "planned": 2, "failed": 1}
            | {"share": 0.5, "ci_low": 0.01, "ci_high": 0.99}
        ),
        Table.BLOCKS: frame(
            PAIR
            | TESTED
            | SAID
            | block
            | {"n_tested": 5, "difference": 2.0, "budget": "steps"}
            | {"teacher_pretraining": "none", "pretraining": "none", "heads": "unequal"}
        ),
        Table.CLAIMS: frame(
            claim
            | {"claim": "C1", "text": "AMAD helps", "verdict": "supported", "reason": EVIL, "missing": ""},
            claim | lacking | {"claim": "C2", "text": EVIL, "reason": "nothing was swept"},
        ),
        Table.CLAIM_PARTS: frame(
            part | TESTED | SAID | {"difference": 2.0, "n_seeds": 2, "p_holm_worse": 0.9}
        ),
    }


SVG = """<?xml version="1.0"?>
<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 100 50">
<metadata>2026</metadata><style>* {color: red}</style><script>document.title = "broken"</script>
<defs><path id="m1" d="M 0 0 L 9 9"/></defs>
<g clip-path="url(#m1)" onclick="document.title = 'broken'"><use xlink:href="#m1" style="fill: #262626"/></g>
<rect style="fill: #ffffff; stroke: #0072b2"/><image href="https://example.org/x.png"/><text>A &lt; B</text>
</svg>"""


def write_figures(results: ResultsFolder) -> None:
    """A drawn figure and one with nothing to draw."""
    results.figures.mkdir()
    (results.figures / "losses.svg").write_text(SVG)
    drawn = Shown("Scores by loss", [["A note."]], "", [[1.0, 0.5]], ["losses.svg"])
    empty = Shown("Learning curves", [[]], "one condition only", [[1.0, 0.5]], ["learning_curves.svg"])
    write_shown({"losses": drawn, "learning_curves": empty}, results.shown_figures)


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """config, plan, results (ResultsFolder) and path (of the report); read-only. A student has failed."""
    folder = tmp_path_factory.mktemp("report") / "results"
    asked: Any = {"tasks": (("vlt5", "vqa"),), "losses": ("ce", "amad_kl")}
    config, plan, results = (
        Config.model_validate(make_raw(**asked)),
        make_plan(**asked),
        ResultsFolder(folder),
    )
    *ended, failed = plan.runs
    for run in ended:
        path = write_run(folder, run) / "predictions.jsonl"
        said = read_predictions(path)["test"]
        write_predictions(path, [said[0].__class__(**{**vars(said[0]), "prediction": EVIL}), *said[1:]])
    write_run(folder, failed, "diverged", EVIL)
    collected = collect(plan, folder)
    for name, table in {**tables(), Table.RUNS: collected.runs, Table.FAILURES: collected.failures}.items():
        write_table(table, results.tables / name)
    write_figures(results)
    path = report(config, plan, folder, folder / "report.html")
    return SimpleNamespace(config=config, plan=plan, results=results, path=path)
