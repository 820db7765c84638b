"""predictions.jsonl, checked: a record per test example of what a run said, written by `training.predict`."""

import hashlib
import json
from pathlib import Path
from typing import Any

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_bytes
from amad_bench.scoring.score_run import Rows, check_rows

NAME = "predictions.jsonl"
_TEXTS = ("split", "example_id", "cluster_id", "prediction")


def read_predictions(folder: Path) -> dict[str, Rows]:
    """The rows in a run's folder by split, in the file's order.

    UserError naming file and record when a value is missing or of another type, or an example is there twice.
    """
    path = folder / NAME
    by_split: dict[str, Rows] = {}
    for number, line in enumerate(_content(path).removesuffix(b"\n").split(b"\n"), start=1):
        try:
            row = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise _damaged(path, f"line {number} is no JSON record ({error})") from None
        if flaw := _flaw(row):
            raise _damaged(path, f"line {number}: {flaw}")
        by_split.setdefault(row["split"], []).append(row)
    for split, rows in by_split.items():
        try:
            check_rows(split, rows)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
    return by_split


def predictions_sha256(folder: Path) -> str:
    """Of the file in a run's folder; UserError when it cannot be read."""
    return hashlib.sha256(_content(folder / NAME)).hexdigest()


def _content(path: Path) -> bytes:
    if not path.exists():
        raise _damaged(path, "this file of a finished run is missing")
    return read_bytes(path)


def _flaw(row: Any) -> str:
    """What is wrong with a record, or ""."""
    if not isinstance(row, dict):
        return f"an object was expected, found {_shortened(row)}"
    for key in _TEXTS:
        if not isinstance(row.get(key), str):
            return f"{key!r} must be a text, found {_shortened(row.get(key))}"
    references, groups = row.get("references"), row.get("groups")
    if not isinstance(references, list) or not references or not _all_texts(references):
        return f"'references' must be a list of texts, at least one, found {_shortened(references)}"
    if not isinstance(groups, dict) or not _all_texts(list(groups.values())):
        return f"'groups' must be an object of texts, found {_shortened(groups)}"
    return ""


def _all_texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _shortened(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _damaged(path: Path, what: str) -> UserError:
    run = path.parent.name
    return UserError(
        f"{path}: {what}; run `amad-bench score --run {run}`, or delete its folder and run again"
    )
