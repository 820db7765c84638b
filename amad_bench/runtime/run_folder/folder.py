"""A run's folder: the place of each file that a run has."""

import shutil
from pathlib import Path

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.locks import held


class RunFolder:
    """The files of one run; the records in them have a module each, beside this one."""

    def __init__(self, path: Path) -> None:
        self.path, self.id = path, path.name
        self.record = path / "run.json"  # RunRecord, written first
        self.status = path / "status.json"  # Status, written when the run has ended
        self.ended = path / "ended"  # empty: that it has, for Snakemake, which deletes outputs as it sees fit
        self.live = path / "live.json"  # Live, while the run is being trained
        self.steps = path / "steps.jsonl"  # TrainingStep and Validation
        self.predictions = path / "predictions.jsonl"  # Prediction
        self.scores = path / "scores.parquet"  # Score
        self.checkpoint = path / "model.safetensors"
        self.loss_parameters = path / "loss.safetensors"  # of a loss that has some
        self.tokenizer = path / "tokenizer.json"
        self.checkpoints = path / "checkpoints"  # of its training, until the run has ended
        self.log = path / "log.txt"  # what the command printed
        self.tensorboard = path / "tensorboard"  # event files, made of the step log
        self.benchmark = path / "benchmark.tsv"  # Snakemake's measurements

    @property
    def finished(self) -> bool:
        """Whether the run has ended, well or with a failure."""
        return self.status.is_file()

    @property
    def worked_on(self) -> bool:
        """Whether a process works on the run; False, too, without locks or a way into the folder."""
        try:
            return self.path.is_dir() and held(self.path)
        except (UserError, OSError):
            return False

    def clear(self) -> None:
        """Remove what an older run left: one that fails now must not keep its results.

        Its checkpoints first: without the rest they are none, and a process may be killed in here.
        """
        self.forget_checkpoints()
        for path in (self.ended, self.status, self.live, self.steps, self.predictions, self.scores):
            path.unlink(missing_ok=True)
        for path in (self.checkpoint, self.loss_parameters, self.tokenizer):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.tensorboard, ignore_errors=True)
        self.forget_halves()

    def forget_halves(self) -> None:
        """Remove files that a killed process was writing, and the marker of an end that is yet to come."""
        for path in (self.ended, *self.path.glob(".*.tmp"), *self.checkpoints.glob(".*.tmp")):
            path.unlink(missing_ok=True)

    def forget_checkpoints(self) -> None:
        """Remove what an unfinished training would go on from."""
        if self.checkpoints.is_dir():
            shutil.rmtree(self.checkpoints)

    def forget(self) -> None:
        """Likewise, and that the run was ever started; its log stays."""
        self.clear()
        self.record.unlink(missing_ok=True)
