"""The step log: one JSON object per line, and no number that is not finite."""

import json
import math
from functools import partial

import pytest
import torch

from amad_bench.runtime.errors import RunFailed, UserError
from amad_bench.runtime.run_folder.steps import (
    Alignment,
    StepLog,
    TrainingStep,
    read_training,
    read_validations,
)

WRITTEN = {"entropy": 0.5, "largest_weight": 0.75, "changed_share": None, "rows": [[0.25, 0.75]]}
ALIGNED = Alignment(entropy=0.5, largest_weight=0.75, changed_share=None, rows=[[0.25, 0.75]])


def test_steps_and_validations_are_lines_in_order(tmp_path):
    path = tmp_path / "steps.jsonl"
    loss, norm, parts = torch.tensor(2.0), torch.tensor(3.0), {"ce": torch.tensor(1.0)}
    with StepLog(path) as log:
        log.training(1, 0.5, loss, norm, parts, padding_share=0.0, alignment={"vision.self/0": ALIGNED})
        log.validation(1, validation_loss=0.25)
        log.training(2, 0.5, loss, norm, parts)
        log.validation(2, validation_token_accuracy=0.75, validation_loss=0.125)
        lines = path.read_text().splitlines()  # on the disk at once: a crash keeps them
    step = {"step": 1, "learning_rate": 0.5, "loss": 2.0, "gradient_norm": 3.0, "ce": 1.0}
    assert lines == [
        json.dumps(step | {"padding_share": 0.0, "alignment": {"vision.self/0": WRITTEN}}),
        json.dumps({"step": 1, "validation_loss": 0.25}),
        json.dumps(step | {"step": 2}),
        json.dumps({"step": 2, "validation_token_accuracy": 0.75, "validation_loss": 0.125}),
    ]
    assert read_training(path) == [
        TrainingStep(1, 0.5, 2.0, 3.0, {"ce": 1.0}, 0.0, {"vision.self/0": ALIGNED}),
        TrainingStep(2, 0.5, 2.0, 3.0, {"ce": 1.0}, None, {}),
    ]
    assert read_validations(path, required=True) == [(2, 0.75, 0.125)]  # the other is a pre-training's


@pytest.mark.parametrize("line", ['{"learning_rate": 1', '["learning_rate"]', '{"learning_rate": 1}'])
def test_a_damaged_line_is_named(tmp_path, line):
    path = tmp_path / "steps.jsonl"
    path.write_text('{"step": 1, "learning_rate": 1, "loss": 2, "gradient_norm": 3}\n' + line + "\n")
    with pytest.raises(
        UserError, match=r"steps\.jsonl: line 2: step, learning_rate.*; delete the run's folder"
    ):
        read_training(path)


@pytest.mark.parametrize("broken", ["loss", "norm", "part", "validation"])
def test_a_number_that_is_not_finite_means_diverged(tmp_path, broken):
    one, nan = torch.tensor(1.0), torch.tensor(math.nan)
    loss, norm, part = (nan if broken == name else one for name in ("loss", "norm", "part"))
    with StepLog(tmp_path / "steps.jsonl") as log:
        write = partial(log.training, 7, 0.1, loss, norm, {"ce": part})
        if broken == "validation":
            write = partial(log.validation, 7, validation_loss=math.inf)
        with pytest.raises(RunFailed, match="not finite at step 7") as caught:
            write()
    assert caught.value.status == "diverged"
    assert (tmp_path / "steps.jsonl").read_text() == ""


def test_a_log_goes_on_behind_what_is_kept(tmp_path):
    path = tmp_path / "steps.jsonl"
    with StepLog(path) as log:
        log.validation(1, validation_loss=0.5)
        kept = log.synced()
        log.validation(2, validation_loss=0.25)
    with StepLog(path) as log:
        log.start(kept)
        log.validation(2, validation_loss=0.125)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows == [{"step": 1, "validation_loss": 0.5}, {"step": 2, "validation_loss": 0.125}]
    with StepLog(path) as log, pytest.raises(UserError, match=r"shorter than its checkpoint says; delete"):
        log.start(10_000)
    with StepLog(path) as log:
        log.start(0)
    assert path.read_bytes() == b""


def test_without_a_file_it_only_looks_at_the_numbers(tmp_path, monkeypatch):
    """Of several ranks the first has the file; all stop where a number is not finite."""
    monkeypatch.chdir(tmp_path)
    with StepLog(None) as log:
        log.start(100)
        log.training(1, 0.5, torch.tensor(2.0), torch.tensor(3.0), {})
        assert log.synced() == 0
        with pytest.raises(RunFailed, match="not finite at step 1"):
            log.validation(1, validation_loss=math.nan)
    assert not [*tmp_path.iterdir()]
