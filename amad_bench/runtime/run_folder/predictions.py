"""predictions.jsonl: what a run said, a record per test example and split."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_bytes, write_text_atomic

CONTROLS = ("_blind", "_majority")  # endings of the splits that hold a control's predictions
_TEXTS = ("split", "example_id", "cluster_id", "prediction")


@dataclass(frozen=True)
class Prediction:
    """A text that was predicted for an example, its references, and the groups that the example belongs to.

    cluster_id: what examples share that are not independent, an image say.
    """

    split: str
    example_id: str
    cluster_id: str
    prediction: str
    references: list[str]
    groups: dict[str, str]


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write the records, a line each, in their order."""
    lines = [json.dumps(vars(prediction), ensure_ascii=False) for prediction in predictions]
    write_text_atomic(path, "\n".join(lines) + "\n")


def read_predictions(path: Path) -> dict[str, list[Prediction]]:
    """The records in a run's file by split, in the file's order.

    UserError naming file and record when a value is missing or of another type, or an example is there twice.
    """
    by_split: dict[str, list[Prediction]] = {}
    for number, row in enumerate(_rows(path), start=1):
        prediction = _prediction(path, number, row)
        by_split.setdefault(prediction.split, []).append(prediction)
    for split, predictions in by_split.items():
        try:
            check_split(split, predictions)
        except UserError as error:
            raise UserError(f"{path}: {error}") from None
    return by_split


def first_predictions(path: Path, split: str, asked: int) -> list[Prediction]:
    """The first records of a split, as many as asked for or there are; the rest is not read.

    UserError as by `read_predictions`.
    """
    found: list[Prediction] = []
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if len(found) == asked:
                break
            prediction = _prediction(path, number, _row(path, number, line))
            found += [prediction] if prediction.split == split else []
    return found


def _rows(path: Path) -> list[Any]:
    """The value of each line; all at once where none is broken, which takes half the time."""
    lines = _content(path).removesuffix(b"\n").split(b"\n")
    try:
        found = json.loads(f"[{b','.join(lines).decode('utf-8')}]")
        if len(found) == len(lines):
            return found
    except (ValueError, RecursionError):
        pass
    return [_row(path, number, line) for number, line in enumerate(lines, start=1)]


def _row(path: Path, number: int, line: bytes) -> Any:
    try:
        return json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise _damaged(path, f"line {number} is no JSON record ({error})") from None


def _prediction(path: Path, number: int, row: Any) -> Prediction:
    if flaw := _flaw(row):
        raise _damaged(path, f"line {number}: {flaw}")
    texts = {key: row[key] for key in _TEXTS}
    return Prediction(**texts, references=row["references"], groups=row["groups"])


def predictions_sha256(path: Path) -> str:
    """The SHA-256 of a run's file; UserError when it cannot be read."""
    return hashlib.sha256(_content(path)).hexdigest()


def check_split(split: str, predictions: Sequence[Prediction]) -> None:
    """UserError for no predictions, those of another split or repeated ids."""
    if not predictions:
        raise UserError(f"split {split!r}: no predictions to score; decode the split first")
    seen: set[str] = set()
    for prediction in predictions:
        example = prediction.example_id
        if prediction.split != split:
            raise UserError(
                f"split {split!r}: example {example!r} is of the split {prediction.split!r}; "
                "score each split with its own predictions"
            )
        if example in seen:
            raise UserError(f"example {example!r} was predicted twice in split {split!r}; decode it again")
        seen.add(example)


def _content(path: Path) -> bytes:
    if not path.exists():
        raise _damaged(path, "this file of a finished run is missing")
    return read_bytes(path)


def _flaw(row: Any) -> str:
    """The flaw of a record, or ""."""
    if not isinstance(row, dict):
        return f"an object was expected, found {_shortened(row)}"
    if not _all_texts([row.get(key) for key in _TEXTS]):
        key = next(key for key in _TEXTS if not isinstance(row.get(key), str))
        return f"{key!r} must be a text, found {_shortened(row.get(key))}"
    references, groups = row.get("references"), row.get("groups")
    if not isinstance(references, list) or not references or not _all_texts(references):
        return f"'references' must be a list of texts, at least one, found {_shortened(references)}"
    if not isinstance(groups, dict) or not _all_texts(list(groups.values())):
        return f"'groups' must be an object of texts, found {_shortened(groups)}"
    return ""


def _all_texts(values: list[Any]) -> bool:
    return set(map(type, values)) <= {str}  # of JSON, where no type has another below it


def _shortened(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def _damaged(path: Path, what: str) -> UserError:
    run = path.parent.name
    return UserError(
        f"{path}: {what}; run `amad-bench score --run {run}`, or delete its folder and run again"
    )
