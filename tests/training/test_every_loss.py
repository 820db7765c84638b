"""Every method of the catalogue, trained from config to scores on tiny scenes; and chains of teachers."""

import json

import pytest

from amad_bench.cli import main
from amad_bench.plan.catalogue import LOSSES
from amad_bench.runtime.files import read_json
from amad_bench.training.run import train_run
from tests.training.conftest import pick, run_dir

OPTIONS = {  # what 4 heads to 2 heads and widths of 16 need
    "one_to_one": ", drop: extra",
    "minilm_v2": ", relation_heads: 4",
}
EQUAL_HEADS = ("minilm", "tinybert")  # which refuse other head counts
# Label -> line of the config; `ce`, `logit_kd` and amad's kl are there already.
LINES = {
    name: f"  - {{name: {name}{OPTIONS.get(name, '')}}}\n"
    for name in LOSSES
    if name not in ("ce", "logit_kd", "amad", *EQUAL_HEADS)
} | {f"amad_{v}": f"  - {{name: amad, variant: {v}}}\n" for v in ("mse", "projected", "token")}
LINES["chunked"] = "  - {name: amad, kernel: chunked, label: chunked}\n"
LINES["amad_token-rows2"] = "  - {name: amad, variant: token, query_rows: 2, kernel: chunked}\n"
IN_CHUNKS = ("chunked", "amad_token-rows2")


def _rows(run):
    lines = (run_dir(run.id) / "steps.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if "loss" in row]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["vlt5", "blip"])
def test_every_method_trains(tiny_plan, family):
    plan = tiny_plan(rate="3.0e-3", more_losses="".join(LINES.values()))
    assert train_run(pick(plan, family, "vqa", "teacher"), "cpu") == "done"
    for label in ["ce", "logit_kd", "amad_kl", *LINES]:
        run = pick(plan, family, "vqa", label)
        assert train_run(run, "cpu") == "done", label
        status = read_json(run_dir(run.id) / "status.json")
        has_parameters = label in ("a2d", "hidden_mse", "amad_projected")
        assert (status["extra_params"] > 0) == has_parameters, label
        assert (run_dir(run.id) / "loss.safetensors").is_file() == has_parameters, label
        parts = set(run.config.loss.loss_weights)
        for row in _rows(run):
            assert parts <= row.keys()


def test_alignments_are_logged(tiny_plan):
    plan = tiny_plan()
    for label in ("teacher", "amad_kl"):
        train_run(pick(plan, "vlt5", "vqa", label), "cpu")
    first, *_, last = _rows(pick(plan, "vlt5", "vqa", "amad_kl"))
    found = last["alignment"]["encoder.self/1"]
    assert [len(row) for row in found["rows"]] == [2] * 4  # a row of two student heads per teacher head
    assert all(sum(row) == pytest.approx(1.0, abs=2e-4) for row in found["rows"])
    assert found["largest_weight"] == pytest.approx(max(max(row) for row in found["rows"]), abs=1e-4)
    assert 0 < found["entropy"] <= 0.6932  # log 2
    assert first["alignment"]["encoder.self/1"]["changed_share"] is None
    assert 0 <= found["changed_share"] <= 1
    assert "alignment" not in _rows(pick(plan, "vlt5", "vqa", "teacher"))[0]


VIA = "  - {name: amad, label: amad_via4, assistant: {heads: 4, loss: amad_kl}}\n"


@pytest.mark.trap("fair-3")
def test_a_finished_student_teaches(tiny_plan):
    plan = tiny_plan(more_losses=VIA)
    student = pick(plan, "vlt5", "vqa", "amad_via4")
    assistant = plan.run(student.prerequisites[0])
    assert assistant.config.loss.label == "amad_kl"
    assert assistant.config.model.heads == 4
    teacher = plan.run(assistant.prerequisites[0])
    assert (teacher.kind, student.teacher_id) == ("teacher", teacher.id)
    order = [run.id for run in plan.runs]
    assert order.index(teacher.id) < order.index(assistant.id) < order.index(student.id)
    for run in (teacher, assistant, student):
        assert train_run(run, "cpu") == "done"
    shapes = [_rows(run)[0]["alignment"]["encoder.self/1"]["rows"] for run in (assistant, student)]
    assert [(len(rows), len(rows[0])) for rows in shapes] == [(4, 4), (4, 2)]


def test_a_student_of_an_untrained_assistant_says_what_to_do(tiny_plan, capsys):
    plan = tiny_plan(more_losses=VIA)
    student = pick(plan, "vlt5", "vqa", "amad_via4")
    assert main(["run", "--config", "tiny.yaml", "--run", student.id]) == 2
    assert f"amad-bench run --run {student.prerequisites[0]}" in capsys.readouterr().err
