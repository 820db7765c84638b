"""Which groups a test example belongs to (answer type, question type, domain), read from predictions."""

import json
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from amad_bench.plan.run import Run
from amad_bench.runtime.errors import UserError
from amad_bench.scoring.score_run import CONTROLS

EXAMPLE_COLUMNS = ["dataset", "task", "split", "example_id", "group", "value"]
_Groups = dict[tuple[str, str], dict[str, str]]  # (split, example id) -> group -> value


def example_groups(finished: Iterable[tuple[Run, Path]]) -> pd.DataFrame:
    """One row per data set, task, example of its test splits and group; sorted.

    finished: runs and their folders. UserError when two runs of a data set and task put one example into
    different groups, or when predictions.jsonl is missing or broken.
    """
    known: dict[tuple[str, str], _Groups] = {}
    for run, folder in finished:
        seen = known.setdefault((run.config["dataset"]["name"], run.config["task"]), {})
        path = folder / "predictions.jsonl"
        for (split, example), groups in _groups(path).items():
            if seen.setdefault((split, example), groups) != groups:
                raise UserError(
                    f"{path}: example {example!r} of the split {split} belongs to {groups}, "
                    f"in another run to {seen[split, example]}; delete the wrong run's folder and run again"
                )
    rows = [
        (dataset, task, split, example, group, value)
        for (dataset, task), seen in known.items()
        for (split, example), groups in seen.items()
        for group, value in groups.items()
    ]
    return pd.DataFrame(sorted(rows), columns=EXAMPLE_COLUMNS, dtype="str")


def _groups(path: Path) -> _Groups:
    try:
        with path.open(encoding="utf-8") as file:
            rows = (json.loads(line) for line in file)
            return {
                (row["split"], row["example_id"]): row["groups"]
                for row in rows
                if not row["split"].endswith(CONTROLS)
            }
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: a JSON record per line with split, example_id and groups was expected "
            f"({type(error).__name__}: {error}); delete the run's folder and run again"
        ) from None
