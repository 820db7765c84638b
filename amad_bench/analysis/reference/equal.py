"""Equality of tables, for a machine of the same kind: same hardware, threads and versions."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pandas as pd

from amad_bench.analysis.collect import SECONDS
from amad_bench.analysis.machines import CHOSEN, HARDWARE, SOFTWARE
from amad_bench.runtime.errors import UserError

_TIMES = ("wall_seconds", "train_seconds", "peak_memory_mib", "energy_joules", "continued", *SECONDS)
_PLACE = ("version", "commit", "dirty", "gpus", "runs_per_gpu", "driver", "platform", "cpu_count")
OF_THE_RUN = {"runs": {*_TIMES, *_PLACE}, "failures": {"log_tail"}}  # differ between equal runs
_LABELS = (
    *("run_id", "family", "task", "dataset", "teacher_heads", "student_heads"),
    *("loss", "loss_a", "loss_b", "metric", "split", "subset"),
)


def read_text(path: Path) -> pd.DataFrame:
    """A table's CSV with its cells as they are written; UserError where it is missing or broken."""
    try:
        return pd.read_csv(path, dtype="str", keep_default_na=False)
    except FileNotFoundError:
        raise UserError(f"{path}: no such table; restore it, or make the reference again") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: no readable table ({error}); restore or delete it") from None


def machine_differences(there: pd.DataFrame, here: pd.DataFrame) -> list[str]:
    """In what the machines of two tables `runs` differ: "cpu A there, B here"; [] for the same kind.

    The runs must be the same, each with what its machine chose for it.
    """
    if set(there["run_id"]) != set(here["run_id"]):
        return ["other runs"]
    both = [table.set_index("run_id") for table in (there, here)]
    found = []
    for fact in (*HARDWARE, *SOFTWARE, *CHOSEN):
        values = [_facts(table, fact) for table in both]
        if values[0] != values[1]:
            shown = [" | ".join(dict.fromkeys(own.values())) or "unknown" for own in values]
            found.append(f"{fact.replace('_', ' ')} {shown[0]} there, {shown[1]} here")
    return found


def _facts(runs: pd.DataFrame, fact: str) -> dict[str, str]:
    """By run; none where it is not in the table."""
    return dict(zip(runs.index, runs[fact], strict=True)) if fact in runs else {}


def table_differences(there: Mapping[str, pd.DataFrame], here: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    """A line for each cell that differs, of tables as text by name; columns that one lacks are none."""
    for name, first in there.items():
        second = here[name]
        if len(first) != len(second):
            yield f"{name}: {len(first)} rows there, {len(second)} here"
            continue
        shared = [column for column in first.columns if column in second.columns]
        for column in shared:
            if column in OF_THE_RUN.get(name, ()):
                continue
            pairs = zip(first[column], second[column], strict=True)
            for row, (one, other) in enumerate(pairs):
                if one != other:
                    label = " ".join(filter(None, (str(first[key][row]) for key in _LABELS if key in first)))
                    yield f"{name}, {label}: {column} {one or 'nothing'} there, {other or 'nothing'} here"
