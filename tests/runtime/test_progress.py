"""Progress in a log file: readable lines, not a heap of carriage returns."""

import pytest

from amad_bench.runtime.progress import progress


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
