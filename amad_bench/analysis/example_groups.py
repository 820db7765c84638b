"""Groups that a test example belongs to (answer type, question type, domain), read from predictions."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from amad_bench.plan.run import Run
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.run_folder.folder import RunFolder
from amad_bench.runtime.run_folder.predictions import CONTROLS, read_predictions

EXAMPLE_COLUMNS = ["dataset", "task", "seed", "split", "example_id", "group", "value"]
_Groups = dict[tuple[str, str], dict[str, str]]  # (split, example id) -> group -> value


def example_groups(finished: Iterable[tuple[Run, RunFolder]]) -> pd.DataFrame:
    """One row per data set, task, example of its test splits and group; sorted.

    finished: runs and their folders. seed: that images were generated from, "" of others; blocks with images
    of their own have other examples under the same ids. UserError when two runs put one example into
    different groups, or when predictions.jsonl is missing or damaged.
    """
    known: dict[tuple[str, str, str], _Groups] = {}
    for run, folder in finished:
        dataset = run.config.dataset
        drawn = images_seed(dataset.options)
        seen = known.setdefault((dataset.name, run.config.task, drawn), {})
        for (split, example), groups in _groups(folder).items():
            if seen.setdefault((split, example), groups) != groups:
                raise UserError(
                    f"{folder.predictions}: example {example!r} of the split {split} belongs to {groups}, "
                    f"in another run to {seen[split, example]}; delete the wrong run's folder and run again"
                )
    rows = [
        (*data, split, example, group, value)
        for data, seen in known.items()
        for (split, example), groups in seen.items()
        for group, value in groups.items()
    ]
    return pd.DataFrame(sorted(rows), columns=EXAMPLE_COLUMNS, dtype="str")


def images_seed(options: Mapping[str, Any]) -> str:
    """Seed of generated images as the table shows it. options: of the data set."""
    return str(options.get("seed", ""))


def _groups(folder: RunFolder) -> _Groups:
    return {
        (split, row.example_id): row.groups
        for split, rows in read_predictions(folder.predictions).items()
        if not split.endswith(CONTROLS)
        for row in rows
    }
