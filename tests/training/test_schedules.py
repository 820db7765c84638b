"""Every schedule has a record and a file; one more is a file and a record."""

import pkgutil
from pathlib import Path

import pytest
from pydantic import ValidationError

from amad_bench.plan.catalogue import SCHEDULES, Schedule
from amad_bench.plan.config.training import Training
from amad_bench.training import schedules
from amad_bench.training.optim import rate_factor

OPTIONS = {
    "examples": "all",
    "steps": 10,
    "batch": 2,
    "learning_rate": 0.1,
    "warmup": 0.2,
    "weight_decay": 0.0,
    "clip": 5.0,
    "evaluations": 1,
}


def test_the_same_schedules():
    assert {module.name for module in pkgutil.iter_modules(schedules.__path__)} == set(SCHEDULES)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_falls_from_the_whole_rate_to_nothing(name):
    factors = [rate_factor(name, step, 20, 0.1) for step in range(1, 21)]
    assert factors[0] == factors[1] == 1.0
    assert factors[-1] == pytest.approx(0.0, abs=0.01)
    assert factors[1:] == sorted(factors[1:], reverse=True)
    assert rate_factor(name, 20, 20, 0.1) == 0.0


def test_one_more_schedule_is_a_file_and_a_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The inverse square root of the share of steps that are done, as files of a stranger."""
    with pytest.raises(ValidationError, match=r"unknown schedule 'toy_root'\. Known: linear, cosine"):
        Training(**OPTIONS, schedule="toy_root")
    (tmp_path / "toy_root.py").write_text("def factor(left):\n    return left**0.5\n")
    monkeypatch.setattr(schedules, "__path__", [*schedules.__path__, str(tmp_path)])
    monkeypatch.setitem(SCHEDULES, "toy_root", Schedule("toy_root"))
    options = Training(**OPTIONS, schedule="toy_root")
    factors = [rate_factor(options.schedule, step, options.steps, options.warmup) for step in range(11)]
    assert factors == pytest.approx([0.5, 1.0, *((left / 8) ** 0.5 for left in range(8, -1, -1))])
