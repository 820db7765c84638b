"""A run's folder: the place of each file that a run has."""

from pathlib import Path


class RunFolder:
    """The files of one run; the records in them have a module each, beside this one."""

    def __init__(self, path: Path) -> None:
        self.path, self.id = path, path.name
        self.record = path / "run.json"  # RunRecord, written first
        self.status = path / "status.json"  # Status, written last
        self.steps = path / "steps.jsonl"  # TrainingStep and Validation
        self.predictions = path / "predictions.jsonl"  # Prediction
        self.scores = path / "scores.parquet"  # Score
        self.checkpoint = path / "model.safetensors"
        self.loss_parameters = path / "loss.safetensors"  # of a loss that has some
        self.tokenizer = path / "tokenizer.json"
        self.log = path / "log.txt"  # what the command printed
        self.benchmark = path / "benchmark.tsv"  # Snakemake's measurements

    @property
    def finished(self) -> bool:
        """Whether the run has ended, well or with a failure."""
        return self.status.is_file()

    def clear(self) -> None:
        """Remove what an older run left: one that fails now must not keep its results."""
        for path in (self.status, self.steps, self.predictions, self.scores):
            path.unlink(missing_ok=True)
        for path in (self.checkpoint, self.loss_parameters, self.tokenizer):
            path.unlink(missing_ok=True)
        for path in self.path.glob(".*.tmp"):  # of a process that was killed while it wrote
            path.unlink(missing_ok=True)
