"""Trainings that have ended: what is left is to predict, as long as their weights are there."""

import signal

import pytest

from amad_bench.runtime.files import read_json
from amad_bench.runtime.interruption import Interrupted
from amad_bench.runtime.results import RESULTS
from amad_bench.training import run as run_module
from amad_bench.training.finished import forget_scores
from amad_bench.training.run import train_run
from tests.training.conftest import pick, run_dir
from tests.training.test_resume import interrupted, made


def test_what_lacks_a_metric_is_scored_again_without_a_training(tiny_plan, monkeypatch):
    """No Java in one night must not cost the trainings of that night."""
    run = pick(tiny_plan(), "vlt5", "vqa", "teacher")
    assert train_run(run, "cpu") == "done"
    expected, folder = made(run), RESULTS.run(run.id)
    before = read_json(folder.status)
    assert forget_scores(folder)
    assert not any(path.exists() for path in (folder.status, folder.predictions, folder.scores))
    monkeypatch.setattr(run_module, "_train", None)  # not called
    assert train_run(run, "cpu") == "done"
    assert made(run) == expected
    after = read_json(folder.status)
    same = ("best_step", "steps", "train_seconds", "parameters")
    assert {key: after[key] for key in same} == {key: before[key] for key in same}


@pytest.mark.parametrize("name", ["model.safetensors", "checkpoints/trained.json"])
def test_what_a_kill_or_a_power_cut_lost_at_the_end_is_made_again(tiny_plan, tmp_path, monkeypatch, name):
    run = pick(tiny_plan(), "vlt5", "vqa", "teacher")
    results, predict = [], run_module.predict_and_score

    def ended(*_):
        raise Interrupted(signal.SIGTERM)

    for folder in ("undisturbed", "interrupted"):
        (tmp_path / folder).mkdir()
        monkeypatch.chdir(tmp_path / folder)
        if folder == "interrupted":
            interrupted(run, monkeypatch, 2)
            monkeypatch.setattr(run_module, "predict_and_score", ended)
            with pytest.raises(Interrupted):
                train_run(run, "cpu")
            monkeypatch.setattr(run_module, "predict_and_score", predict)
            (run_dir(run.id) / name).unlink()
        assert train_run(run, "cpu") == "done"
        results.append(made(run))
    assert results[0] == results[1]
