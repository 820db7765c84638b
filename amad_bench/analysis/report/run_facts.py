"""Counts, versions and machines of a plan's runs, as pairs of a word and a phrase."""

import json
from collections import Counter
from typing import Any

import pandas as pd

from amad_bench.analysis.measured_by import dataset_of
from amad_bench.analysis.printed.axes import data_name
from amad_bench.analysis.run_summary import commits, distinct, replicates
from amad_bench.analysis.settings import grouped
from amad_bench.plan import catalogue
from amad_bench.plan.plan import Plan

_KINDS = {"pretrain": "pre-training", "teacher": "teacher", "student": "student"}
_PACKAGES = ("python", "torch", "transformers", "tokenizers", "numpy", "sacrebleu")
_SECONDS = 3600  # of an hour


def run_facts(plan: Plan, runs: pd.DataFrame) -> dict[str, list[str]]:
    """By word the phrases that say it, in the order in which they are read; unknown is left out.

    runs: the table of all planned runs.
    """
    facts = {
        "Config": [f"{plan.name}, plan {plan.hash}"],
        "Runs": [_kinds(runs)],
        "Ended": [f"{count} {status.replace('_', ' ')}" for status, count in Counter(runs["status"]).items()],
        "Left out": [f"{count_of(len(plan.skipped), 'combination')}"] if plan.skipped else [],
        "Replicates of a student": [_span(replicates(runs))],
        "Tasks": _tasks(runs),
        "Trained for": _hours(runs),
        "Machines": _machines(runs),
        "Commit": _commits(runs),
        "Versions": [f"{name} {', '.join(found)}" for name in _PACKAGES if (found := distinct(runs, name))],
    }
    return {word: phrases for word, phrases in facts.items() if phrases}


def say_runs(runs: pd.DataFrame) -> str:
    """Two sentences about what was run."""
    students: Any = runs[runs["kind"] == "student"]
    losses, teachers = len(set(students["loss"])), [*runs["kind"]].count("teacher")
    ended, planned = [*runs["status"]].count("done"), len(runs)
    done = (
        "All runs are done."
        if ended == planned
        else f"{planned - ended:,} of {planned:,} runs have no result."
    )
    return (
        f"{count_of(len(students), 'student')} under {losses} loss{'' if losses == 1 else 'es'}, "
        f"{_span(replicates(runs))} replicates of each, learnt from {count_of(teachers, 'teacher')}. {done}"
    )


def count_of(number: int, what: str) -> str:
    """ "1 teacher", "2,000 teachers"."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _kinds(runs: pd.DataFrame) -> str:
    counts = Counter(runs["kind"])
    return ", ".join(count_of(counts[kind], word) for kind, word in _KINDS.items() if counts[kind])


def _span(numbers: list[int]) -> str:
    return "–".join(dict.fromkeys(f"{end:,}" for end in (numbers[0], numbers[-1]))) if numbers else "none"


def _tasks(runs: pd.DataFrame) -> list[str]:
    """A phrase per family, task and data set: its metric, head counts and how much it is tested on."""
    trained: Any = runs[runs["kind"] != "pretrain"]
    found = []
    for values, rows in grouped(trained, ["family", "task", "dataset"]):
        options = rows["dataset_options"].iloc[0]
        metric = catalogue.primary_metric(values["task"], dataset_of(values["dataset"], options))
        students: Any = rows[rows["kind"] == "student"]
        pairs = sorted(
            set(students[["teacher_heads", "student_heads"]].dropna().itertuples(index=False, name=None))
        )
        heads = ", ".join(f"{teacher} → {student}" for teacher, student in pairs)
        tested = sorted({json.loads(text)["test"] for text in rows["split_examples"].dropna()})
        shown = [f"heads {heads}"] if heads else []
        shown += [catalogue.METRICS[metric].label]
        shown += [f"{_span(tested)} test examples"] if tested else []
        found.append(f"{data_name(values)}: {'; '.join(shown)}")
    return found


def _hours(runs: pd.DataFrame) -> list[str]:
    hours = sum(runs["wall_seconds"].dropna()) / _SECONDS
    return [f"{hours:.1f} hours, all runs one after the other"] if hours else []


def _machines(runs: pd.DataFrame) -> list[str]:
    """Each machine with the number of its runs."""
    columns = ["device_name", "cpu", "cpu_count", "platform"]
    made: Any = runs.reindex(columns=["device", *columns]).dropna(subset=["device"])
    found = Counter(
        (row["device_name"], row["cpu"], row["cpu_count"] and f"{row['cpu_count']} CPUs", row["platform"])
        for row in made.astype(object).where(made.notna(), "").to_dict("records")
    )
    named = {", ".join(filter(None, parts)): count for parts, count in found.items()}
    return [f"{machine} ({count_of(count, 'run')})" for machine, count in named.items()]


def _commits(runs: pd.DataFrame) -> list[str]:
    return [commit + (" with uncommitted changes" if dirty else "") for commit, dirty in commits(runs)]
