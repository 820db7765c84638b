"""The files of a run."""

from pathlib import Path

from amad_bench.runtime.run_folder.folder import RunFolder

RESULTS = (
    *("status.json", "steps.jsonl", "predictions.jsonl", "scores.parquet"),
    *("model.safetensors", "loss.safetensors", "tokenizer.json"),
)


def test_a_clean_start_leaves_what_is_no_result(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "a-run")
    folder.path.mkdir()
    assert not folder.finished
    folder.clear()
    for name in (*RESULTS, "run.json", "log.txt", "benchmark.tsv"):
        (folder.path / name).touch()
    assert folder.finished
    folder.clear()
    assert not folder.finished
    assert {folder.record, folder.log, folder.benchmark} == set(folder.path.iterdir())
    assert folder.id == "a-run"
