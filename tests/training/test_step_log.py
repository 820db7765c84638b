"""The step log: one JSON object per line, and no number that is not finite."""

import json
import math
from functools import partial

import pytest
import torch

from amad_bench.runtime.errors import RunFailed
from amad_bench.training.step_log import StepLog


def test_steps_and_validations_are_lines_in_order(tmp_path):
    path = tmp_path / "steps.jsonl"
    with StepLog(path) as log:
        log.training(1, 0.5, torch.tensor(2.0), torch.tensor(3.0), {"ce": torch.tensor(1.0)}, more=[1, None])
        log.validation(1, validation_loss=0.25)
        lines = path.read_text().splitlines()  # on the disk at once: a crash keeps them
    assert [json.loads(line) for line in lines] == [
        {"step": 1, "learning_rate": 0.5, "loss": 2.0, "gradient_norm": 3.0, "ce": 1.0, "more": [1, None]},
        {"step": 1, "validation_loss": 0.25},
    ]


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
