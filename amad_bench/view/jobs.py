"""Jobs in Snakemake's log records, in words of ours: never more than a person wants to read."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amad_bench.plan.standing import INTERRUPTED, Standing
from amad_bench.view.words import counted

TAIL = 15  # lines of a failed job's log that are shown
_RUN_RULES = ("pretrain", "teacher", "student")
_FIRST = ("prepare", *_RUN_RULES)  # in the order of work; Snakemake lists as it likes
_MOST = 30  # lines of a dry run's list
_NOISE = (  # how Snakemake begins what it says of itself
    "Building DAG of jobs",
    "Using shell: ",
    "host: ",
    "Select jobs to execute",
    "Assuming unrestricted shared filesystem usage",
    "Elapsed time: ",
    "Reasons:",
    "Checking for outdated ",
    "Processed ",
)
NOTHING_TO_DO = "Nothing to be done"


def is_noise(message: str) -> bool:
    """Whether a message is one that Snakemake prints at every start."""
    return not message.strip() or message == "None" or message.startswith(_NOISE)


@dataclass(frozen=True)
class Job:
    """A job of Snakemake. run_id: "" for one that trains nothing. reason: why it is to be done."""

    rule: str
    wildcards: Mapping[str, str]
    reason: str = ""

    @classmethod
    def of(cls, record: Any) -> "Job":
        """From a record of the event `job_info`."""
        return cls(record.rule_name, dict(record.wildcards or {}), getattr(record, "reason", None) or "")

    @property
    def run_id(self) -> str:
        return self.wildcards.get("run_id", "") if self.rule in _RUN_RULES else ""

    @property
    def name(self) -> str:
        """The rule, and of what: "prepare scenes-1a2b"."""
        return " ".join([self.rule, *self.wildcards.values()])


def failure(record: Any, folder: Path) -> list[str]:
    """The logs of a record of the event `job_error`, and how they end. folder: that logs are below."""
    lines: list[str] = []
    for log in getattr(record, "log", None) or ():
        lines.append(f"  {log} ends so:")
        lines += [f"  | {line}" for line in _tail(folder / log)]
    return lines


def _tail(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8", errors="backslashreplace").splitlines()
    except OSError as error:
        return [f"({error.strerror})"]
    return lines[-TAIL:] or ["(it is empty)"]


def dry_run(jobs: Iterable[Job], standings: Mapping[str, Standing]) -> list[str]:
    """Numbers of jobs that would be done, by rule and reason."""
    counts: dict[str, Counter[str]] = {}
    for job in jobs:
        counts.setdefault(job.rule, Counter())[_reason(job, standings)] += 1
    total = sum(sum(own.values()) for own in counts.values())
    lines = [f"{counted(total, 'job')} would be done:"]
    width = max(map(len, counts), default=0)
    for rule in sorted(counts, key=lambda rule: _FIRST.index(rule) if rule in _FIRST else len(_FIRST)):
        reasons = counts[rule]
        for number, (reason, count) in enumerate(reasons.most_common()):
            lines.append(f"  {'' if number else rule:<{width}}  {count:>6,}  {reason}".rstrip())
    if len(lines) > _MOST:
        lines[_MOST:] = [f"  and {counted(len(lines) - _MOST, 'reason')} more"]
    return lines


def _reason(job: Job, standings: Mapping[str, Standing]) -> str:
    """The standing of a run; of another job Snakemake's first reason, without the files' names."""
    own = standings.get(job.run_id)
    if own is None or own.status is not None:
        return job.reason.partition(";")[0].partition(":")[0].strip().lower()
    if own.state == INTERRUPTED:
        return "was begun, is not finished"
    return without_ids(own.reason, standings) or "not begun"


def without_ids(text: str, ids: Collection[str]) -> str:
    """The text with RUN for every id, so that equal reasons are equal."""
    return re.sub(r"[\w.-]+", lambda word: "RUN" if word[0] in ids else word[0], text)
