"""Commands on a disk that is full or read-only: one line, exit code 2, and the same command goes on later."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from amad_bench.cli import main
from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import expand
from amad_bench.runtime.results import RESULTS
from tests.full_disk import SmallDisk, disk  # noqa: F401 (a fixture)

CONFIG = yaml.safe_load("""
name: disk
device: cpu
replicates: 1
datasets: {scenes: {train_images: 40, validation_images: 6, test_images: 12}}
models:
  vlt5:
    inputs: {kind: regions, boxes: file, crop: 8, max_regions: 8}
    teacher: {layers: 2, width: 64, feed_forward: 512, dropout: 0.0}
    student: {layers: 2, width: 64, feed_forward: 512, dropout: 0.0}
heads: {teacher: [4], student: [2]}
losses: [{name: ce}]
sites: {vlt5: [encoder.self]}
tasks:
  - {family: vlt5, task: vqa, dataset: scenes, vocabulary: 150, decoding: {max_length: 4, beams: 1},
     teacher: &training {examples: all, steps: 4, batch: 8, learning_rate: 0.001, warmup: 0.1,
                         weight_decay: 0.0, clip: 1.0, evaluations: 1},
     student: *training}
""")
Refused = Callable[..., str]


@pytest.fixture
def config(disk: SmallDisk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:  # noqa: F811
    """A config outside of the disk, on which the commands work."""
    path = tmp_path / "disk.yaml"
    path.write_text(yaml.safe_dump(CONFIG))
    monkeypatch.chdir(disk.path)
    yield path
    monkeypatch.undo()  # a disk in whose folder a process works cannot be unmounted


@pytest.fixture
def refused(config: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """The only error line of a command that must end with exit code 2; progress may stand before it."""

    def refused(*arguments: str) -> str:
        capsys.readouterr()
        assert main([*arguments, "--config", str(config)]) == 2
        said = capsys.readouterr().err
        assert said.count("amad-bench: error: ") == 1
        assert "Traceback" not in said
        return said.splitlines()[-1]

    return refused


def _temporary() -> list[Path]:
    return list(Path().rglob(".*.tmp"))


@pytest.mark.slow
@pytest.mark.parametrize("leave_kib", [8, 150, 300, 420])
def test_data(leave_kib: int, disk: SmallDisk, config: Path, refused: Refused) -> None:  # noqa: F811
    """Wherever it fills up: while images are generated, cut out, or texts written."""
    filling = disk.fill(leave_kib)
    assert "No space left on device; free some space, then start again" in refused("data")
    assert _temporary() == []
    filling.unlink()
    assert main(["data", "--config", str(config)]) == 0


@pytest.mark.slow
@pytest.mark.parametrize("leave_kib", [0, 12, 400, 1000])
def test_a_run(leave_kib: int, disk: SmallDisk, config: Path, refused: Refused) -> None:  # noqa: F811
    """Wherever it fills up: its first file, weights, predictions. It has not ended, and is run again."""
    run = expand(load_config(config)).runs[0]
    assert main(["data", "--config", str(config)]) == 0
    filling = disk.fill(leave_kib)
    assert "No space left on device" in refused("run", "--run", run.id)
    assert not RESULTS.run(run.id).finished
    assert _temporary() == []
    filling.unlink()
    assert main(["run", "--run", run.id, "--config", str(config)]) == 0
    assert RESULTS.run(run.id).finished


@pytest.mark.slow
def test_tables(disk: SmallDisk, config: Path, refused: Refused) -> None:  # noqa: F811
    disk.remount("size=16m")
    for run in expand(load_config(config)).runs:
        assert main(["run", "--run", run.id, "--config", str(config)]) == 0
    for command in ("collect", "compare", "figures"):
        filling = disk.fill()
        assert "No space left on device" in refused(command)
        filling.unlink()
        disk.remount("ro")
        assert "Read-only file system" in refused(command)
        disk.remount("rw")
        assert _temporary() == []
        assert main([command, "--config", str(config)]) == 0
    run = expand(load_config(config)).runs[0]
    disk.remount("ro")
    assert "Read-only file system" in refused("score", "--run", run.id)


@pytest.mark.parametrize("command", ["data", "run", "collect"])
def test_nothing_can_be_written(command: str, disk: SmallDisk, config: Path, refused: Refused) -> None:  # noqa: F811
    disk.remount("ro")
    more = ("--run", expand(load_config(config)).runs[0].id) if command == "run" else ()
    assert "Read-only file system; make it readable and writable" in refused(command, *more)
