"""A metric is a record and a file: two of a stranger go from predictions to a comparison."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from amad_bench import scoring
from amad_bench.analysis.collect import collect
from amad_bench.analysis.collected import Collected
from amad_bench.analysis.tables.comparisons import comparisons_table
from amad_bench.analysis.tables.headroom import headroom_table
from amad_bench.analysis.tables.results import results_table
from amad_bench.plan.catalogue import DATASETS, UNBOUNDED, Metric, metrics_of, primary_metric
from amad_bench.plan.run import Run
from amad_bench.runtime.run_folder.folder import RunFolder
from amad_bench.runtime.run_folder.predictions import Prediction, write_predictions
from amad_bench.runtime.run_folder.scores import write_scores
from amad_bench.scoring.score_splits import score_splits
from tests.analysis.conftest import make_plan, write_run
from tests.first_metric import first_metric

EDITS = '''
"""Edits that make a prediction of the reference, over the reference's words."""

import numpy as np

from amad_bench.scoring.measured import Measured, only_references


def measure_toy_edits(corpora):
    found = []
    for rows in corpora.rows:
        pairs = zip(rows, only_references(rows, "toy edits"), strict=True)
        statistics = [_statistics(row.prediction.split(), reference.split()) for row, reference in pairs]
        values = [float(value) for value in total_toy_edits(np.array(statistics))]
        score = float(total_toy_edits(np.sum(statistics, axis=0)))
        found.append(Measured(score, values, statistics))
    return found


def total_toy_edits(summed):
    return summed[..., 0] / summed[..., 1]


def _statistics(prediction, reference):
    row = list(range(len(reference) + 1))
    for i, word in enumerate(prediction, start=1):
        above, row[0] = row[0], i
        for j, other in enumerate(reference, start=1):
            above, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, above + (word != other))
    return [float(row[-1]), float(len(reference))]
'''

JACCARD = '''
"""Words that a prediction and a reference share, over all that they have."""

from amad_bench.scoring.measured import mean_of_examples


def measure_toy_jaccard(corpora):
    return mean_of_examples(corpora, jaccard)


def jaccard(prediction, references):
    own = set(prediction.split())
    return max(len(own & set(text.split())) / len(own | set(text.split())) for text in references)
'''

WRONG = {"teacher": 1, "ce": 6, "amad_kl": 3}  # words out of ten, give or take one
TRANSLATED = (("vlt5", "translation"),)


@pytest.fixture(autouse=True)
def _toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    folder = tmp_path / "stranger"
    folder.mkdir()
    (folder / "toy_edits.py").write_text(EDITS)
    (folder / "toy_sets.py").write_text(JACCARD)
    monkeypatch.setattr(scoring, "__path__", [*scoring.__path__, str(folder)])
    edits = Metric(
        "toy_edits",
        "Edits",
        "translation",
        "toy_edits",
        higher_is_better=False,
        maximum=UNBOUNDED,
        statistics=2,
        version=7,
    )
    with first_metric(edits, Metric("toy_jaccard", "Jaccard", "translation", "toy_sets")):
        yield


def predicted(run: Run, split: str) -> tuple[list[Prediction], list[int]]:
    """Predictions of ten words, and how many of each are wrong."""
    label = "teacher" if run.kind == "teacher" else run.config.loss.label
    rng = np.random.default_rng([ord(letter) for letter in run.id + split])
    rows, wrong = [], []
    for number in range(40):
        reference = [f"w{number}x{place}" for place in range(10)]
        count = 9 if split.endswith(("blind", "majority")) else WRONG[label] + int(rng.integers(-1, 2))
        text = " ".join(["?"] * count + reference[count:])
        rows.append(Prediction(split, f"e{number:02}", f"c{number // 2:02}", text, [" ".join(reference)], {}))
        wrong.append(count)
    return rows, wrong


def finish(results: Path, run: Run) -> list[int]:
    """A finished run with its predictions and their scores; how many words of each test output are wrong."""
    folder = RunFolder(write_run(results, run))
    splits = ("test", "test_blind", "test_majority") if run.config.controls else ("test",)
    rows = {split: predicted(run, split)[0] for split in splits}
    write_predictions(folder.predictions, [row for own in rows.values() for row in own])
    scored = score_splits(metrics_of("translation", DATASETS["scenes"]), rows)
    write_scores(folder.scores, run.id, {split: part.frame for split, part in scored.items()})
    return predicted(run, "test")[1]


@pytest.fixture
def finished(tmp_path: Path) -> tuple[Collected, dict[str, np.ndarray]]:
    """Tables, and by loss the wrong words of its runs' test outputs (runs, examples)."""
    plan = make_plan(tasks=TRANSLATED, losses=("ce", "amad_kl"), seeds=3)
    wrong = {run.id: finish(tmp_path / "results", run) for run in plan.runs}
    by_loss = {
        loss: np.array([own for run_id, own in wrong.items() if f"-{loss}-" in run_id]) for loss in WRONG
    }
    return collect(plan, tmp_path / "results"), by_loss


def test_a_metric_is_planned_by_its_record():
    assert primary_metric("translation", DATASETS["multi30k"]) == "toy_edits"
    assert metrics_of("translation", DATASETS["scenes"]) == (
        *("toy_edits", "toy_jaccard", "BLEU", "BLEU_lc", "chrF2", "TER"),
    )
    assert "toy_edits" not in metrics_of("captioning", DATASETS["scenes"])
    plan = make_plan(tasks=TRANSLATED, losses=("ce",), seeds=1)
    assert {run.config.versions["metric:toy_edits"] for run in plan.runs} == {7}


def test_a_metric_goes_from_predictions_to_a_comparison(finished: tuple[Collected, dict[str, np.ndarray]]):
    """A wrong word of ten is one edit; the right ones are shared, out of the ten and the wrong one's sign."""
    tables, wrong = finished
    rates = {loss: 10 * own.mean(axis=1) for loss, own in wrong.items()}
    results = results_table(tables)
    primary, other = (
        results[results["metric"] == name].set_index("loss") for name in ("toy_edits", "toy_jaccard")
    )
    assert primary["primary"].all()
    for loss, own in wrong.items():
        assert primary.loc[loss, "mean"] == pytest.approx(rates[loss].mean())
        assert other.loc[loss, "mean"] == pytest.approx(100 * np.mean((10 - own) / (10 + (own > 0))))

    (row,) = comparisons_table(tables).to_dict("records")
    assert (row["metric"], row["loss_a"], row["loss_b"]) == ("toy_edits", "amad_kl", "ce")
    assert row["difference"] == pytest.approx(rates["amad_kl"].mean() - rates["ce"].mean())
    assert row["difference"] < -20
    assert row["statement"] == "better"

    (row,) = headroom_table(tables).to_dict("records")
    assert row["difference"] == pytest.approx(rates["ce"].mean() - rates["teacher"].mean())
    assert row["majority"] == pytest.approx(10.0)  # nine words of ten are wrong
    assert row["teacher_above_ce"]
    assert row["majority_low"]
