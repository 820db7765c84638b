"""A plan of tiny runs on generated scenes, in an empty working directory."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import expand
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run

CONFIG = """
name: tiny
precision: {precision}
replicates: 2
datasets:
  scenes: {{train_images: 12, validation_images: 4, test_images: 6, seed: {data_seed}}}
models:
  vlt5:
    inputs: {{kind: regions, boxes: file, crop: 4, max_regions: 8}}
    order_embedding: {order_embedding}
    teacher: &size {{layers: 2, width: 16, feed_forward: 32, dropout: 0.1}}
    student: &student_size {{layers: 2, width: 16, feed_forward: 32, dropout: 0.1, cut: {cut}}}
  blip:
    inputs: {{kind: pixels, size: 16, patch: 8}}
    teacher: *size
    student: *student_size
heads: {{teacher: [4], student: [2]}}
losses:
  - {{name: ce}}
  - {{name: logit_kd}}
  - {{name: amad, variant: kl, temperature: {temperature}}}
{more_losses}sites: {{vlt5: [encoder.self], blip: [vision.self]}}
{pretraining}tasks:
  - family: vlt5
    task: vqa
    dataset: scenes
    vocabulary: 200
    decoding: {{max_length: 4, beams: 1}}
    teacher: &training
      {{examples: all, steps: 6, batch: 8, learning_rate: {rate}, warmup: 0.1, weight_decay: 0.01, clip: 1.0,
       evaluations: 2}}
    student: *training
  - {{family: blip, task: vqa, dataset: scenes, vocabulary: 200, decoding: {{max_length: 4, beams: 1}},
     teacher: *training, student: *training}}
  - {{family: vlt5, task: translation, dataset: scenes, vocabulary: 200,
     decoding: {{max_length: 6, beams: 2}}, teacher: *training, student: *training}}
"""


TRAINING = (
    "{{examples: all, steps: 4, batch: 8, learning_rate: {rate}, warmup: 0.1, weight_decay: 0.01, clip: 1.0,"
    " evaluations: 2{more}}}"
)
PRETRAINING = """
pretraining:
  teacher: [{condition}]
  student: [{condition}]
  training:
    vlt5: {{{condition}: {training}}}
    blip: {{{condition}: {blip_training}}}
"""


def pretraining_of(condition: str, rate: str, momentum: bool) -> str:
    """The part of the config that pre-trains both families here; "" for none."""
    if condition == "none":
        return ""
    training = TRAINING.format(rate=rate, more="")
    blip_training = TRAINING.format(rate=rate, more=", momentum_distillation: true" if momentum else "")
    return PRETRAINING.format(condition=condition, training=training, blip_training=blip_training)


@pytest.fixture
def tiny_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """tiny_plan(rate=..., data_seed=..., more_losses=YAML lines, ...) -> Plan; results go below tmp_path.

    condition: the pre-training of all models; pretraining_rate: its learning rate; cut: of students.
    """
    monkeypatch.chdir(tmp_path)

    def plan(
        rate: str = "1.0e-3",
        temperature: float = 1.0,
        data_seed: int = 0,
        more_losses: str = "",
        condition: str = "none",
        pretraining_rate: str = "1.0e-3",
        momentum: bool = False,
        cut: str = "none",
        precision: str = "fp32",
    ) -> Plan:
        path = tmp_path / "tiny.yaml"
        text = CONFIG.format(
            rate=rate,
            temperature=temperature,
            data_seed=data_seed,
            more_losses=more_losses,
            order_embedding=str(condition == "vl").lower(),
            pretraining=pretraining_of(condition, pretraining_rate, momentum),
            cut=cut,
            precision=precision,
        )
        path.write_text(text, encoding="utf-8")
        return expand(load_config(path))

    return plan


def retrained(run: Run, **changes: Any) -> Run:
    """The run with another training, under its old id: as after a change of the code."""
    training = run.config.training.model_copy(update=changes)
    return replace(run, config=run.config.model_copy(update={"training": training}))


def pick(plan: Plan, family: str, task: str, label: str, replicate: int = 0):
    """The only run of that task entry; label "teacher" or a loss. Of a pre-training, the teacher's shape."""
    found = [
        run
        for run in plan.runs
        if (run.config.family, run.config.task, run.config.replicate) == (family, task, replicate)
        and label == ("teacher" if run.kind == "teacher" else run.config.loss.label)
        and (run.kind != "pretrain" or run.config.model.heads == 4)
    ]
    assert len(found) == 1
    return found[0]


def run_dir(run_id: str) -> Path:
    return Path("results/runs") / run_id
