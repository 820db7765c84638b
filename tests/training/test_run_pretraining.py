"""From pre-training to students, at toy size: what each run writes, what it says when another one failed."""

import json
from pathlib import Path

import pytest

from amad_bench.models.checkpoints import checkpoint_weights
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_json
from amad_bench.training.run import score_run, train_run
from tests.training.conftest import pick, run_dir

FAMILIES = ["vlt5", "blip"]
SITES = {
    "vlt5": {"encoder.self", "decoder.self", "decoder.cross"},
    "blip": {"vision.self", "text.self", "text.cross", "decoder.self", "decoder.cross"},
}


def status_of(run):
    return read_json(run_dir(run.id) / "status.json")


def files_of(run) -> set[str]:
    return {path.name for path in run_dir(run.id).iterdir()}


@pytest.mark.parametrize("condition", ["text", "vl"])
@pytest.mark.parametrize("family", FAMILIES)
def test_pretraining_then_teacher_then_student(tiny_plan, family, condition):
    """Teacher and student have other shapes, so each has a pre-training of its own."""
    plan = tiny_plan(condition=condition)
    teacher, student = (pick(plan, family, "vqa", label) for label in ("teacher", "amad_kl"))
    sources = [plan.run(run.needs[0]) for run in (teacher, student)]
    assert [run.kind for run in sources] == ["pretrain", "pretrain"]
    assert student.prerequisites == [sources[1].id, teacher.id]
    assert [train_run(run, "cpu") for run in (*sources, teacher, student)] == ["done"] * 4
    for run in sources:
        assert files_of(run) == {
            "run.json",
            "status.json",
            "steps.jsonl",
            "model.safetensors",
            "tokenizer.json",
        }
        facts = status_of(run)
        assert facts["head_map"] == {}
        assert facts["signatures"] == {}
        assert facts["steps"] == 4
        assert 0 < facts["best_step"] <= 4
        assert min(facts[key] for key in ("parameters", "flops_per_example", "train_seconds")) > 0
    for run, heads in ((teacher, 4), (student, 2)):
        facts = status_of(run)
        assert facts["flops_per_example"] > 0
        assert set(facts["head_map"]) <= SITES[family]
        assert all(own == [[head] for head in range(heads)] for own in facts["head_map"].values())
        assert {"predictions.jsonl", "scores.parquet"} <= files_of(run)
    assert len({(run_dir(run.id) / "tokenizer.json").read_bytes() for run in (*sources, teacher)}) == 1


@pytest.mark.parametrize("init", ["inherit", "remap"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_student_cut_from_the_teachers_pretraining(tiny_plan, family, init):
    plan = tiny_plan(condition="vl", init=init)
    student = pick(plan, family, "vqa", "ce")
    source = plan.run(student.needs[0])
    assert source.config.model.heads == 4
    assert [train_run(run, "cpu") for run in (source, student)] == ["done", "done"]
    expected = {"inherit": [[0], [1]], "remap": [[0, 1], [2, 3]]}[init]
    assert status_of(student)["head_map"] == dict.fromkeys(SITES[family], expected)
    assert set(checkpoint_weights(run_dir(student.id) / "model.safetensors").heads.values()) == {2}
    before = (run_dir(student.id) / "scores.parquet").read_bytes()
    (run_dir(source.id) / "model.safetensors").unlink()  # scoring starts nothing anew
    assert score_run(student, "cpu") == "done"
    assert (run_dir(student.id) / "scores.parquet").read_bytes() == before


@pytest.mark.parametrize("family", FAMILIES)
def test_same_seed_same_pretraining(tiny_plan, tmp_path, monkeypatch, family):
    run = pick(tiny_plan(condition="vl"), family, "pretraining", "pretrain")
    contents = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        assert train_run(run, "cpu") == "done"
        contents.append(
            [(run_dir(run.id) / file).read_bytes() for file in ("model.safetensors", "steps.jsonl")]
        )
    assert contents[0] == contents[1]


def test_runs_that_start_from_a_diverged_pretraining_say_so(tiny_plan):
    """And who learns from a teacher that failed for it says that the teacher failed."""
    plan = tiny_plan(condition="text", pretraining_rate="1.0e+30")
    teacher = pick(plan, "vlt5", "vqa", "teacher")
    source = plan.run(teacher.needs[0])
    assert train_run(source, "cpu") == "diverged"
    assert "not finite at step" in status_of(source)["reason"]
    assert not {"model.safetensors"} & files_of(source)
    assert train_run(teacher, "cpu") == "pretraining_failed"
    assert status_of(teacher)["reason"].startswith(f"pre-training {source.id}: diverged: ")
    assert files_of(teacher) == {"run.json", "status.json", "tokenizer.json"}
    student = pick(plan, "vlt5", "vqa", "ce")
    assert train_run(plan.run(student.needs[0]), "cpu") == "diverged"
    assert train_run(student, "cpu") == "pretraining_failed"


def test_a_student_of_a_teacher_without_pretraining_says_that_the_teacher_failed(tiny_plan):
    plan = tiny_plan(condition="text")
    student = pick(plan, "vlt5", "vqa", "amad_kl")
    assert train_run(plan.run(student.needs[0]), "cpu") == "done"
    folder = run_dir(student.needs[1])
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(json.dumps({"status": "pretraining_failed", "reason": "diverged"}))
    assert train_run(student, "cpu") == "teacher_failed"


def test_a_pretraining_that_fails_keeps_no_older_results(tiny_plan):
    run = pick(tiny_plan(condition="text"), "vlt5", "pretraining", "pretrain")
    assert train_run(run, "cpu") == "done"
    run.config.training.learning_rate = 1e30  # the same folder, as after a change of the code
    assert train_run(run, "cpu") == "diverged"
    assert files_of(run) == {"run.json", "status.json", "steps.jsonl", "tokenizer.json"}


def test_a_pretraining_cannot_be_scored(tiny_plan):
    run = pick(tiny_plan(condition="text"), "vlt5", "pretraining", "pretrain")
    with pytest.raises(UserError, match=f"^{run.id}: a pre-training run has no predictions; score the runs"):
        score_run(run, "cpu")
    assert not Path(run_dir(run.id)).exists()
