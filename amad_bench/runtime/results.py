"""The results folder: the place and the name of everything that is made."""

from enum import StrEnum
from pathlib import Path

from amad_bench.runtime.run_folder.folder import RunFolder

PAPER = Path("paper/main.pdf")  # the one result outside of that folder
ASIDE = ".damaged"  # at the end of the name of stored outputs that cannot be used


class TableName(StrEnum):
    """Tables; each is written as .parquet for programs and as .csv for people."""

    RUNS = "runs"
    SCORES = "scores"
    EXAMPLES = "examples"
    LEARNING_CURVES = "learning_curves"
    ALIGNMENTS = "alignments"
    FAILURES = "failures"
    RESULTS = "results"
    HEADROOM = "headroom"
    COMPARISONS = "comparisons"
    PAIRS_OF_RUNS = "pairs_of_runs"
    RANKS = "ranks"
    VARIANCE = "variance"
    LOSS_FAILURES = "loss_failures"
    CLAIMS = "claims"
    CLAIM_PARTS = "claim_parts"
    STEPS_TO_SCORE = "steps_to_score"
    PUBLISHED = "published"
    BLOCKS = "blocks"
    BLOCK_DIFFERENCES = "block_differences"
    POWER = "power"


class FigureName(StrEnum):
    """Figures of a whole config; each is written as .pdf, .png and .svg."""

    LOSSES = "losses"
    HEAD_GAP = "head_gap"
    HEAD_COUNTS = "head_counts"
    PAIRS = "pairs"
    BLOCKS = "blocks"
    LEARNING_CURVES = "learning_curves"
    ALIGNMENTS = "alignments"
    SHARPNESS = "sharpness"
    COST = "cost"
    PRETRAINING_GAPS = "pretraining_gaps"
    POWER = "power"
    PUBLISHED = "published"


COLLECTED = (
    TableName.RUNS,
    TableName.SCORES,
    TableName.EXAMPLES,
    TableName.FAILURES,
    TableName.LEARNING_CURVES,
    TableName.ALIGNMENTS,
)
COMPARED = tuple(name for name in TableName if name not in COLLECTED)  # made from the collected ones


PRINTED = (  # also as .md and .tex for readers
    TableName.CLAIMS,
    TableName.CLAIM_PARTS,
    TableName.BLOCKS,
    TableName.RESULTS,
    TableName.HEADROOM,
    TableName.COMPARISONS,
    TableName.PAIRS_OF_RUNS,
    TableName.RANKS,
    TableName.VARIANCE,
    TableName.POWER,
    TableName.STEPS_TO_SCORE,
    TableName.LOSS_FAILURES,
    TableName.FAILURES,
)


class ResultsFolder:
    """Files below `results` in the working directory, or below another folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.runs = path / "runs"
        self.plan = path / "plan.json"  # the one that the tables were collected for
        self.tables = path / "tables"
        self.merged = self.tables / "merged"  # by `collect --from`, without suffix
        self.figures = path / "figures"
        self.shown_figures = self.figures / "figures.json"  # titles, fine print, pages and sizes
        self.report = path / "report.html"
        self.extra_scores = path / "extra_scores.parquet"  # METEOR and SPICE of all runs
        self.extra_facts = path / "extra_scores.json"  # what these were made from
        self.extra_ended = path / "extra_scores.ended"  # for Snakemake: that all runs were tried
        self.bench = path / "bench"
        self.data = path / "data"
        self.teacher_outputs = path / "teacher_outputs"
        self.file_hashes = self.data / "file_hashes.json"

    def run(self, run_id: str) -> RunFolder:
        """The folder of a run."""
        return RunFolder(self.runs / run_id)

    def table(self, name: TableName, suffix: str = "parquet") -> Path:
        """The file of a table; suffix: parquet, csv, md or tex."""
        return self.tables / f"{name}.{suffix}"

    def figure(self, name: FigureName, suffix: str = "pdf") -> Path:
        """The file of a figure; suffix: pdf, png or, of its first page, svg."""
        return self.figures / f"{name}.{suffix}"

    def table_files(self, *names: TableName) -> list[Path]:
        """Both files of each of the tables."""
        return [self.table(name, suffix) for name in names for suffix in ("parquet", "csv")]

    def printed_files(self) -> list[Path]:
        """The tables that readers get as Markdown and LaTeX."""
        return [self.table(name, suffix) for name in PRINTED for suffix in ("md", "tex")]

    def figure_files(self) -> list[Path]:
        """The files of all figures, but for further pages as SVG, and what is said of them."""
        files = [self.figure(name, suffix) for name in FigureName for suffix in ("pdf", "png", "svg")]
        return [*files, self.shown_figures]

    def dataset(self, name: str, data_hash: str) -> Path:
        """The folder of one data set's generated and prepared files; eight digits of its hash name it."""
        return self.data / f"{name}-{data_hash[:8]}"

    def preparing(self) -> list[Path]:
        """The folders in which data and outputs of teachers are made, under a temporary name first."""
        return [self.data, *sorted(self.data.glob("*/prepared")), *sorted(self.teacher_outputs.glob("*"))]

    def prepared(self, data_key: str) -> Path:
        """A file that says that prepared data are there; what Snakemake watches."""
        return self.data / "prepared" / f"{data_key}.json"

    def outputs(self, outputs_key: str) -> Path:
        """The folder of a teacher's outputs on the training examples of its students."""
        return self.teacher_outputs / outputs_key

    def log(self, step: str) -> Path:
        """The output of a step's command, for steps without a folder of their own."""
        return self.path / "logs" / f"{step}.txt"

    def benchmark(self, step: str) -> Path:
        """Snakemake's measurements of a step."""
        return self.path / "benchmarks" / f"{step}.tsv"


RESULTS = ResultsFolder(Path("results"))
