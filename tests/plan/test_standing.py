"""What stands of each run is read off its folder, and follows what stands of the runs it needs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.plan.standing import Standing, outcomes_hash, standing
from amad_bench.runtime.errors import STATUSES
from amad_bench.runtime.locks import exclusive, held
from amad_bench.runtime.results import ResultsFolder
from tests.run_folders import begin_run, end_run


@pytest.fixture
def results(tmp_path: Path) -> ResultsFolder:
    return ResultsFolder(tmp_path / "results")


@pytest.fixture
def plan(raw, planned) -> Plan:
    """A pre-training, the teacher that starts from it, students of `ce` and `logit_kd`."""
    training = dict(raw["tasks"][0]["teacher"])
    raw["pretraining"] = {"teacher": ["text"], "student": ["none"], "training": {"vlt5": {"text": training}}}
    raw |= {"tasks": raw["tasks"][:1], "losses": [{"name": "ce"}, {"name": "logit_kd"}], "replicates": 1}
    raw["models"].pop("blip")
    raw["sites"].pop("blip")
    return planned(raw)


@pytest.fixture
def runs(plan: Plan) -> dict[str, Run]:
    return {run.config.loss.name if run.kind == "student" else run.kind: run for run in plan.runs}


def end_all(plan: Plan, results: ResultsFolder, **statuses: str) -> None:
    """statuses: by kind, or loss of a student, where it is another than done."""
    for run in plan.runs:
        key = run.config.loss.name if run.kind == "student" else run.kind
        end_run(run, results, statuses.get(key, "done"))


@pytest.fixture
def left(plan: Plan, results: ResultsFolder, runs: dict[str, Run]) -> Callable[[], list[str]]:
    """The kinds, and losses, of the runs that are left, in the plan's order."""
    names = {run.id: name for name, run in runs.items()}
    return lambda: [names[key] for key, own in standing(plan, results).items() if own.left]


def test_nothing_has_run(plan, results, left, runs) -> None:
    assert set(standing(plan, results).values()) == {Standing("waiting")}
    assert left() == ["pretrain", "teacher", "ce", "logit_kd"] == list(runs)


def test_all_have_ended_well(plan, results, left) -> None:
    end_all(plan, results)
    assert [own.state for own in standing(plan, results).values()] == ["done"] * 4
    assert left() == []


@pytest.mark.parametrize("status", STATUSES[1:])
def test_a_failure_is_a_result(plan, results, left, runs, status) -> None:
    """The teacher failed, too, so that what needs it has nothing to hope for."""
    end_all(plan, results, pretrain="diverged", teacher="pretraining_failed")
    end_run(runs["logit_kd"], results, status, reason="why")
    own = standing(plan, results)[runs["logit_kd"].id]
    assert (own.state, own.reason, own.left) == (status, "why", False)
    assert left() == []


def test_a_run_that_ends_while_it_is_looked_at_was_not_interrupted(results, left, runs, monkeypatch) -> None:
    """Else Snakemake's marker of its end would go, which its process has just made."""
    begin_run(runs["pretrain"], results)

    def asked(_: Path) -> bool:
        monkeypatch.setattr("amad_bench.runtime.run_folder.folder.held", held)
        end_run(runs["pretrain"], results)
        return False

    monkeypatch.setattr("amad_bench.runtime.run_folder.folder.held", asked)
    assert left() == ["teacher", "ce", "logit_kd"]


@pytest.mark.parametrize("name", ["status", "predictions", "scores", "steps", "record"])
def test_what_lacks_a_file_is_left(plan, results, left, runs, name) -> None:
    end_all(plan, results)
    getattr(results.run(runs["ce"].id), name).unlink()
    assert left() == ["ce"]


def test_a_pre_training_makes_no_scores(plan, results, left, runs) -> None:
    end_all(plan, results)
    folder = results.run(runs["pretrain"].id)
    assert not folder.scores.exists()
    folder.steps.unlink()  # nor is its step log a table's business
    assert left() == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"status": "dnoe"}', "\xff"])
@pytest.mark.parametrize("name", ["status", "record"])
def test_a_damaged_file_is_named_and_the_run_is_left(plan, results, left, runs, name, text) -> None:
    end_all(plan, results)
    path = getattr(results.run(runs["ce"].id), name)
    path.write_bytes(text.encode("latin-1"))
    own = standing(plan, results)[runs["ce"].id]
    assert own.state == "waiting"
    assert str(path) in own.reason
    assert left() == ["ce"]


def test_another_configs_folder_is_left(plan, results, left, runs) -> None:
    end_all(plan, results)
    begin_run(runs["ce"], results, replicate=7)
    own = standing(plan, results)[runs["ce"].id]
    assert own.state == "waiting"
    assert "belongs to another config (replicate is 7, the plan says 0)" in own.reason
    assert left() == ["ce"]


def test_running_interrupted_and_waiting_are_left(plan, results, left, runs) -> None:
    end_run(runs["pretrain"], results)
    for name in ("teacher", "ce"):
        begin_run(runs[name], results)
    results.run(runs["logit_kd"].id).path.mkdir()  # Snakemake makes it for the log
    with exclusive(results.run(runs["teacher"].id).path):
        states = [own.state for own in standing(plan, results).values()]
    assert states == ["done", "running", "interrupted", "waiting"]
    assert left() == ["teacher", "ce", "logit_kd"]


def test_a_run_that_is_scored_again_has_ended(plan, results, runs) -> None:
    folder = end_run(runs["ce"], results)
    with exclusive(folder.path):
        assert standing(plan, results)[runs["ce"].id].state == "done"


def test_what_failed_for_another_is_left_again_when_that_one_is(plan, results, left, runs) -> None:
    failed = {"pretrain": "diverged", "teacher": "pretraining_failed", "logit_kd": "teacher_failed"}
    end_all(plan, results, **failed)
    assert left() == []
    results.run(runs["pretrain"].id).status.unlink()
    assert left() == ["pretrain", "teacher", "logit_kd"]
    end_run(runs["pretrain"], results)
    assert left() == ["teacher", "logit_kd"]
    end_run(runs["teacher"], results, "metric_unavailable")  # which can teach
    assert left() == ["logit_kd"]
    end_run(runs["teacher"], results, "out_of_memory")
    assert left() == []


def test_weights_are_wanted_only_by_what_is_left(plan, results, left, runs) -> None:
    end_all(plan, results)
    for run in plan.runs:
        results.run(run.id).checkpoint.unlink()
    assert left() == []
    results.run(runs["ce"].id).status.unlink()
    assert left() == ["ce"]
    results.run(runs["logit_kd"].id).status.unlink()
    assert left() == ["pretrain", "teacher", "ce", "logit_kd"]
    assert "its weights are gone" in standing(plan, results)[runs["teacher"].id].reason
    results.run(runs["teacher"].id).checkpoint.touch()
    assert left() == ["ce", "logit_kd"]


def test_the_hash_of_outcomes_follows_what_has_ended(plan, results, runs) -> None:
    hashes = [outcomes_hash(standing(plan, results))]
    end_all(plan, results)
    hashes.append(outcomes_hash(standing(plan, results)))
    folder = end_run(runs["ce"], results, wall_seconds=61.0)
    hashes.append(outcomes_hash(standing(plan, results)))
    folder.scores.unlink()
    hashes.append(outcomes_hash(standing(plan, results)))
    assert len(set(hashes)) == 4
    end_run(runs["ce"], results, wall_seconds=61.0)
    assert outcomes_hash(standing(plan, results)) == hashes[2]


def test_the_folder_is_only_read(plan, results, runs) -> None:
    folder = end_run(runs["ce"], results)
    before = json.loads(folder.record.read_text()), sorted(folder.path.iterdir())
    standing(plan, results)
    assert (json.loads(folder.record.read_text()), sorted(folder.path.iterdir())) == before
