"""Runs of a BLIP whose sides differ in depth, width and heads, from its pre-training to its students."""

from pathlib import Path

import pytest

from amad_bench.analysis.run_columns import run_columns
from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import expand
from amad_bench.plan.plan import Plan
from amad_bench.runtime.run_folder.status import Status
from amad_bench.training.run import train_run
from tests.training.conftest import run_dir

CONFIG = """
name: sides
replicates: 1
datasets:
  scenes: {{train_images: 12, validation_images: 4, test_images: 6, seed: 0}}
models:
  blip:
    inputs: {{kind: pixels, size: 16, patch: 8}}
    teacher:
      vision: {{layers: 3, width: 16, feed_forward: 32, heads: [4]}}
      text: {{layers: 2, width: 24, feed_forward: 48, heads: [4]}}
      dropout: 0.1
    student:
      vision: {{layers: 2, width: 8, feed_forward: 16, heads: [2]}}
      text: {{layers: 1, width: 12, feed_forward: 24, heads: [2]}}
      dropout: 0.1
      cut: inherit
heads: {{teacher: [4], student: [2]}}
losses:
  - {{name: hidden_mse}}
  - {{name: amad, variant: kl}}
  - {{name: minilm_v2, relation_heads: 4}}
sites: {{blip: {sites}}}
layer_map: uniform
pretraining:
  teacher: [{condition}]
  student: [{condition}]
  training:
    blip:
      {condition}: &training
        {{examples: all, steps: 4, batch: 8, learning_rate: 1.0e-3, warmup: 0.1, weight_decay: 0.01,
         clip: 1.0, evaluations: 2}}
tasks:
  - {{family: blip, task: vqa, dataset: scenes, vocabulary: 200, decoding: {{max_length: 4, beams: 1}},
     teacher: *training, student: *training}}
"""


def _plan(folder: Path, monkeypatch: pytest.MonkeyPatch, condition: str, sites: str) -> Plan:
    monkeypatch.chdir(folder)
    path = folder / "sides.yaml"
    path.write_text(CONFIG.format(condition=condition, sites=sites), encoding="utf-8")
    return expand(load_config(path))


@pytest.mark.parametrize(
    ("condition", "sites"), [("vl", "[vision.self, text.cross, decoder.self]"), ("text", "[vision.self]")]
)
def test_every_kind_of_loss_compares_sides_of_other_widths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, condition: str, sites: str
) -> None:
    """Both sides at once, hidden states of other widths through maps of their own; pre-trained, and cut."""
    plan = _plan(tmp_path, monkeypatch, condition, sites)
    assert plan.skipped == []
    kinds = [run.kind for run in plan.runs]
    assert kinds == ["pretrain", "teacher", *["student"] * 3]
    for run in plan.runs:
        assert train_run(run, "cpu") == "done", run.id
    (hidden,) = [run for run in plan.runs if run.config.loss.label == "hidden_mse"]
    widths = [(16, 8), (24, 12), (24, 12)] if condition == "vl" else [(16, 8)]  # of vision, text, decoder
    extra = Status.read(run_dir(hidden.id) / "status.json").extra_params
    assert extra == sum(teacher * student for teacher, student in widths)
    maps = {run.kind: Status.read(run_dir(run.id) / "status.json").head_map for run in plan.runs}
    assert maps["teacher"]["text.self"] == [[0], [1], [2], [3]]
    assert maps["student"]["text.self"] == [[0], [1]]
    assert ("vision.self" in maps["student"]) == (condition == "vl")
    columns = run_columns(plan.runs[-1])
    assert columns["shape"] == "vision 2x8, feed-forward 16, 2 heads; text 1x12, feed-forward 24, 2 heads"
    assert (columns["teacher_heads"], columns["student_heads"], columns["width"]) == (4, 2, 8)
