"""Progress in a log file: readable lines, not a heap of carriage returns."""

from pathlib import Path

import pytest

from amad_bench.runtime.progress import described, phase, progress
from amad_bench.runtime.run_folder.live import Live


def test_lines_in_a_log_file(capsys: pytest.CaptureFixture[str]) -> None:
    with progress(3, "run-1") as bar:
        bar.mininterval = 0
        for _ in range(3):
            bar.update(1)
    text = capsys.readouterr().err
    assert "\r" not in text
    lines = text.strip().split("\n")
    assert all(line.startswith("run-1: ") for line in lines)
    assert "3/3" in lines[-1]


class Loss:
    def item(self) -> float:
        return 0.5


def test_what_a_process_does_is_described_while_it_trains(tmp_path: Path) -> None:
    path = tmp_path / "live.json"
    phase("data")  # of no run: said nowhere
    with described(path):
        phase("training")
        assert Live.read(path).phase == "training"
        with progress(3, "run-1") as bar:
            bar.step(1, Loss())
            assert bar.n == 1
    assert not path.exists()
    phase("data")
    assert not path.exists()


def test_a_run_that_is_broken_off_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), described(tmp_path / "live.json"):
        raise KeyboardInterrupt
    assert Live.read(tmp_path / "live.json").state == "interrupted"


def test_steps_are_described_with_their_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amad_bench.runtime.run_folder.live.EVERY", 0.0)
    with described(tmp_path / "live.json"), progress(3, "run-1") as bar:
        bar.step(2, Loss())
        found = Live.read(tmp_path / "live.json")
    assert (found.step, found.steps, found.loss) == (2, 3, 0.5)
