"""The view of a sweep under Snakemake: log records in, lines and a repainted screen out."""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from amad_bench.plan.plan import Plan
from amad_bench.plan.standing import standing
from amad_bench.runtime.paths import DEFAULT_CONFIG
from amad_bench.runtime.results import PAPER, RESULTS, ResultsFolder
from amad_bench.view.jobs import NOTHING_TO_DO, Job, dry_run, failure, is_noise
from amad_bench.view.screen import screen
from amad_bench.view.terminal import LOG_WIDTH, Terminal
from amad_bench.view.watch import REPAINTED, SUMMARY, Watched, summary
from amad_bench.view.words import counted, duration


class Handed(NamedTuple):
    """A plan, its config file and the folder that its results are below."""

    plan: Plan
    config: Path
    folder: Path

    @property
    def results(self) -> ResultsFolder:
        return ResultsFolder(self.folder / RESULTS.path)


_handed: list[Handed] = []


def hand_over(plan: Plan, config: Path) -> None:
    """Tells the view which plan it is that Snakemake works on, here; the Snakefile calls it."""
    folder = Path.cwd()
    named = config.relative_to(folder) if config.is_relative_to(folder) else config
    _handed[:] = [Handed(plan, named, folder)]


def handed() -> Handed | None:
    return _handed[0] if _handed else None


class Sweep:
    """Says what a person is to see of a sweep.

    silent: errors and the end only. dry_run: nothing is done, only listed. own: formats a record as
    Snakemake would. Not thread-safe but for `close`: one thread hands in records.
    """

    def __init__(
        self,
        terminal: Terminal,
        own: Callable[[logging.LogRecord], str],
        silent: bool = False,
        dry_run: bool = False,
        shell_commands: bool = False,
    ) -> None:
        self._terminal, self._own = terminal, own
        self._silent, self._dry_run, self._shell_commands = silent, dry_run, shell_commands
        self._jobs: dict[int, Job] = {}
        self._begun: dict[int, float] = {}
        self._broken_off: set[int] = set()  # jobs
        self._own_log = ""
        self._told = ""  # the latest message
        self._listed = False
        self._watched: Watched | None = None
        self._started = time.monotonic()
        self._summed = 0.0
        self._lock = threading.Lock()  # of the terminal and of what is watched
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self.broken: Exception | None = None  # what ended the repainting

    def record(self, record: logging.LogRecord) -> None:
        """Take in a record of Snakemake's log."""
        handle = self._events.get(str(getattr(record, "event", None)))
        if handle is None:
            self._message(record)
        else:
            handle(self, record)

    def close(self) -> None:
        """The end: what there is now, and where."""
        self._over.set()
        if self._thread is not None:
            self._thread.join(timeout=30)
        with self._lock:
            self._terminal.paint(())
            if self._dry_run:
                self._list()
            elif self._watched is not None:
                self._end(self._watched)

    # records

    def _message(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if text.startswith("Complete log"):
            self._own_log = text.partition(": ")[2]
        elif record.levelno >= logging.WARNING or not (is_noise(text) or self._silent):
            if text != self._told:  # Snakemake says some things for each job that still runs
                self._say(self._own(record), style="red" if record.levelno >= logging.ERROR else "")
            self._told = text
        if text.startswith(NOTHING_TO_DO) and not self._dry_run:
            self._begin()

    def _job_info(self, record: Any) -> None:
        self._jobs[record.jobid] = Job.of(record)

    def _job_started(self, record: Any) -> None:
        with self._lock:
            self._begun.update(dict.fromkeys(record.jobs, time.monotonic()))
        self._begin()
        if self._thread is None and self._watched is not None and not self._silent:
            self._thread = threading.Thread(target=self._repaint, name="view", daemon=True)
            self._thread.start()

    def _begin(self) -> None:
        sweep = handed()
        if self._watched is None and sweep is not None:
            self._watched = Watched(sweep.plan, sweep.results)

    def _job_finished(self, record: Any) -> None:
        with self._lock:
            begun = self._begun.pop(record.job_id, None)
        job = self._jobs.pop(record.job_id, None)
        if job is None or job.run_id or self._terminal.repaints or self._silent:
            return
        took = "" if begun is None else f" after {duration(time.monotonic() - begun)}"
        self._say(f"{job.name}: done{took}")

    def _job_error(self, record: Any) -> None:
        job = self._jobs.get(record.jobid) or Job(record.rule_name, {})
        lines = failure(record, self._base())
        with self._lock:
            self._begun.pop(record.jobid, None)
            if record.jobid in self._broken_off:  # older Snakemakes say it twice
                return
            if lines and lines[-1].startswith("  | amad-bench: interrupted"):  # somebody wanted it to stop
                self._terminal.say(f"{job.name}: interrupted")
                return
            self._broken_off.add(record.jobid)
            self._terminal.say(f"error: {job.name} failed", style="red")
            self._terminal.say(*lines)

    def _error(self, record: Any) -> None:
        """Snakemake's own trouble; that a command failed is said of its job."""
        if "CalledProcessError" not in record.getMessage():
            self._say(self._own(record), style="red")

    def _run_info(self, record: logging.LogRecord) -> None:
        """Snakemake's numbers of jobs, before and after it names each; with --quiet it names none."""
        if self._dry_run and self._jobs:
            with self._lock:
                self._list()
        elif self._dry_run and self._silent:
            self._say(self._own(record))

    def _shell_command(self, record: logging.LogRecord) -> None:
        if self._shell_commands:
            self._say(self._own(record))

    def _nothing(self, record: logging.LogRecord) -> None:
        """Records of which nothing is said."""

    _events: ClassVar[dict[str, Callable[["Sweep", Any], None]]] = {
        "job_info": _job_info,
        "job_started": _job_started,
        "job_finished": _job_finished,
        "job_error": _job_error,
        "error": _error,
        "run_info": _run_info,
        "shellcmd": _shell_command,
        **dict.fromkeys(("progress", "resources_info", "workflow_started", "rulegraph"), _nothing),
    }

    # lines

    def _say(self, *texts: str, style: str = "") -> None:
        with self._lock:
            self._terminal.say(*texts, style=style)

    def _repaint(self) -> None:
        try:
            while True:
                with self._lock:
                    self._look()
                if self._over.wait(REPAINTED):
                    return
        except Exception as error:  # the sweep goes on, whatever becomes of its view
            self.broken = error

    def _look(self) -> None:
        assert self._watched is not None
        begun = [job for key in self._begun if (job := self._jobs.get(key))]
        found, ended = self._watched.look(started=[job.run_id for job in begun if job.run_id])
        repaints = self._terminal.repaints
        for ending in ended:
            if not repaints or ending.status != "done":
                self._terminal.say(ending.line, style="" if ending.status == "done" else "red")
        if repaints:
            steps = [job.name for job in begun if not job.run_id]
            self._terminal.paint(screen(found, steps, *self._terminal.size))
        elif not self._summed or time.monotonic() - self._summed >= SUMMARY:
            self._summed = time.monotonic()
            self._terminal.say(summary(found))

    def _list(self) -> None:
        """A dry run's list, once."""
        if self._jobs and not self._listed:
            sweep = handed()
            standings = {} if sweep is None else standing(sweep.plan, sweep.results)
            lines = dry_run(self._jobs.values(), standings)
            self._terminal.say(*lines, "Each job by itself: add --logger-amad-bench-off")
            self._listed = True

    def _end(self, watched: Watched) -> None:
        found, ended = watched.look(fresh=True)
        if not self._terminal.repaints:
            self._terminal.say(*(ending.line for ending in ended))
        width = self._terminal.size[0] if self._terminal.repaints else LOG_WIDTH
        self._terminal.leave(screen(replace(found, seconds_left=None), (), width))
        lines = self._places()
        if found.total.failed or self._broken_off:
            lines += self._failures(found.total.failed)
        self._terminal.say("", *lines, f"after    {duration(time.monotonic() - self._started)}")

    def _failures(self, failed: int) -> list[str]:
        sweep = handed()
        asked = "" if sweep is None or sweep.config == DEFAULT_CONFIG else f" --config {sweep.config}"
        errors = f", {counted(len(self._broken_off), 'job')} broken off" if self._broken_off else ""
        return [
            f"failures {counted(failed, 'run')} failed{errors}; why:",
            f"         amad-bench failures{asked}",
        ]

    def _places(self) -> list[str]:
        """The places of what was made."""
        base = self._base()
        named = (
            ("tables", RESULTS.tables, f"{RESULTS.tables}/*.csv, *.parquet"),
            ("figures", RESULTS.figures, f"{RESULTS.figures}/*.pdf, *.png, *.svg"),
            ("report", RESULTS.report, str(RESULTS.report)),
            ("paper", PAPER, str(PAPER)),
        )
        lines = [f"{name:<9}{shown}" for name, path, shown in named if (base / path).exists()]
        return [*lines, *([f"{'log':<9}{self._own_log} (Snakemake's own)"] if self._own_log else [])]

    def _base(self) -> Path:
        return Path() if (sweep := handed()) is None else sweep.folder
