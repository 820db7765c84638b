"""status.json is trusted only where it says how the run ended."""

import json

import pytest

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.run_folder import status as status_module
from amad_bench.runtime.run_folder.status import PHASES, Status


def test_what_is_there(tmp_path):
    path = tmp_path / "status.json"
    path.write_text(json.dumps({"status": "diverged", "reason": "NaN", "data": {"answers": 3}}))
    found = Status.read(path)
    assert (found.status, found.reason, found.data) == ("diverged", "NaN", {"answers": 3})
    assert not found.usable
    assert (found.flops_per_example, found.head_map, found.start_weights) == (None, None, None)


def test_a_run_that_has_just_begun_in_the_order_of_the_file(tmp_path):
    Status().write(tmp_path / "status.json")
    expected = {
        "status": "done",
        "reason": "",
        "wall_seconds": 0.0,
        "train_seconds": 0.0,
        "peak_memory_mib": 0.0,
        "parameters": 0,
        "extra_params": 0,
        "flops_per_example": 0,
        "head_map": {},
        "start_weights": {},
        "micro_batch": 0,
        "micro_batch_halved": False,
        "compiled": False,
        "steps": 0,
        "best_step": 0,
        "continued": 0,
        "ranks": 1,
        "signatures": {},
        "log_tail": [],
        "seconds": {},
    }
    assert (tmp_path / "status.json").read_text() == json.dumps(expected, indent=2) + "\n"
    assert Status.read(tmp_path / "status.json") == Status()


@pytest.mark.parametrize("status", ["done", "metric_unavailable"])
def test_written_again_it_says_what_it_said(tmp_path, status):
    """That of an older version lacks some facts: they are not made up."""
    path, written = tmp_path / "status.json", {"status": status, "reason": "", "wall_seconds": 2.5}
    written |= {"train_seconds": 1.0, "peak_memory_mib": 3.0, "parameters": 4, "extra_params": 5, "steps": 6}
    written |= {"best_step": 3, "signatures": {"BLEU": "v1"}, "log_tail": ["a"], "data": {"answers": None}}
    path.write_text(json.dumps(written))
    found = Status.read(path)
    assert found.usable
    found.write(path)
    assert json.loads(path.read_text()) == written


def test_seconds_of_a_phase_add_up_and_a_failure_keeps_them(monkeypatch):
    clock = iter([10.0, 12.5, 20.0, 21.0])
    monkeypatch.setattr(status_module.time, "perf_counter", lambda: next(clock))
    status = Status()
    with status.timed("training"):
        pass
    with pytest.raises(ValueError, match="broken"), status.timed("training"):
        raise ValueError("broken")
    assert status.seconds == {"training": 3.5}
    assert set(status.seconds) <= set(PHASES)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"status": "fine"}', '{"status": ["done"]}', '"done"'])
def test_damage_names_the_file(tmp_path, text):
    (tmp_path / "status.json").write_text(text)
    with pytest.raises(UserError, match=r"status\.json: .*delete") as caught:
        Status.read(tmp_path / "status.json")
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"status\.json: no such file"):
        Status.read(tmp_path / "status.json")


def test_what_a_file_lacks_is_not_known(tmp_path):
    path = tmp_path / "status.json"
    path.write_text('{"status": "done", "steps": 7}')
    found = Status.read(path)
    assert (found.steps, found.wall_seconds, found.parameters, found.head_map) == (7, None, None, None)
    assert (found.reason, found.signatures, found.log_tail) == ("", {}, [])
