"""Event files that follow the step log; where TensorBoard is installed they are read back."""

import json
from collections import defaultdict
from pathlib import Path

import pytest

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.run_folder.folder import RunFolder
from amad_bench.training import tensorboard
from amad_bench.training.tensorboard import EventFiles, follower

ROWS = [
    {"step": 1, "learning_rate": 0.5, "loss": 3.0, "gradient_norm": 1.0, "ce": 2.0, "alignment": {"x": {}}},
    {"step": 20, "learning_rate": 0.25, "loss": 2.0, "gradient_norm": 1.0, "ce": 1.0},
    {"step": 20, "validation_token_accuracy": 0.75, "validation_loss": 1.5},
]


def line(row: dict) -> str:
    return json.dumps(row) + "\n"


def test_no_logging_does_nothing(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.steps.write_text(line(ROWS[0]))
    follower("none", folder)()
    assert list(tmp_path.iterdir()) == [folder.steps]


def test_an_absent_package_is_told_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tensorboard, "find_spec", lambda _: None)
    with pytest.raises(UserError, match=r'no Python package tensorboard; `pip install "amad-bench\[tensorb'):
        follower("tensorboard", RunFolder(tmp_path))


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    found = defaultdict(list)
    for path in sorted(folder.iterdir()):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                found[value.tag].append((event.step, value.tensor.float_val[0]))
    return dict(found)


def test_event_files_hold_each_step_once_though_the_run_was_interrupted(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    log, folder = tmp_path / "steps.jsonl", tmp_path / "tensorboard"
    first = EventFiles(log, folder)
    first.follow()  # there is no log yet
    log.write_text(line(ROWS[0]) + '{"step": 20, "los')
    first.follow()
    assert read(folder)["training/loss"] == [(1, 3.0)]
    log.write_text(line(ROWS[0]) + line({**ROWS[1], "loss": 9.0}))  # lost: no checkpoint had seen it
    first.follow()
    first.close()

    log.write_text(line(ROWS[0]))
    again = EventFiles(log, folder)
    for row in ROWS[1:]:
        with log.open("a") as file:
            file.write(line(row))
        again.follow()
    again.follow()
    again.close()
    assert read(folder) == {
        "training/learning_rate": [(1, 0.5), (20, 0.25)],
        "training/loss": [(1, 3.0), (20, 2.0)],
        "training/gradient_norm": [(1, 1.0), (20, 1.0)],
        "training/ce": [(1, 2.0), (20, 1.0)],
        "validation/token_accuracy": [(20, 0.75)],
        "validation/loss": [(20, 1.5)],
    }


def test_a_full_disk_changes_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EventFiles, "_follow", full)
    EventFiles(tmp_path / "steps.jsonl", tmp_path / "tensorboard").follow()
