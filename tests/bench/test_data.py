from pathlib import Path

from amad_bench.bench import data
from amad_bench.bench.data import bench_data


def test_what_is_measured(tmp_path, monkeypatch):
    """In this process, which is quicker: 10 and 100 questions."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(data, "_in_fresh_process", lambda work, size, folder: work(size, folder))
    small, large = bench_data(100, Path("bench").resolve())
    assert (small["records"], large["records"]) == (12, 100)  # whole images of four questions
    for row in (small, large):
        assert 0 < row["first_batch_seconds"] <= row["epoch_seconds"] < 30
        assert 0 < row["imports_mib"] <= row["start_mib"] <= row["peak_mib"]
        assert row["private_mib"] <= row["peak_mib"]
    before = {path: path.stat().st_mtime_ns for path in Path("bench").rglob("*")}
    bench_data(100, Path("bench").resolve())
    assert {path: path.stat().st_mtime_ns for path in Path("bench").rglob("*")} == before  # kept


def test_a_process_of_its_own(tmp_path):
    assert data._in_fresh_process(_process, 3, tmp_path)["id"] != _process(3, tmp_path)["id"]


def _process(_size: int, _folder: Path) -> dict[str, int]:
    import os

    return {"id": os.getpid()}
