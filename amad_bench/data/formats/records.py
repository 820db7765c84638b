"""One example of any task, and reading text and JSON records with errors that name file and record."""

import codecs
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_bytes, read_json

# JSON can spell half of a UTF-16 pair; no UTF-8 file can hold it.
_SURROGATE = re.compile("[\ud800-\udfff]")
RESTORE = "restore the file (`amad-bench doctor` says where it is published) or fix the record"


@dataclass(frozen=True, slots=True)
class Example:
    """Example of any task, as a loader returns it for each record.

    `cluster_id`: examples on the same photo share it. `image`: the photo's name, None without a photo.
    `source`: question or English sentence, "" for captioning. `target`: what training teaches;
    `references`: what the prediction is compared with. `where`: file and record, for error messages.
    `groups`: what scores are also given by, such as {"answer_type": "number", "domain": "in"}.
    `answer_scores`: what each possible answer to a question with ten answers earns: .3, .6, .9 or 1.
    """

    example_id: str
    cluster_id: str
    image: str | None
    source: str
    target: str
    references: tuple[str, ...]
    where: str
    groups: dict[str, str] = field(default_factory=dict)
    answer_scores: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class BoxesFile:
    """A JSON file of true boxes: {"<image id>": [[x1, y1, x2, y2] in pixels, ...]}.

    image_name: image id -> name of the image.
    """

    path: Path
    image_name: Callable[[int], str]


@dataclass(frozen=True)
class SplitSource:
    """The examples of one split, and where their photos are looked for (see `Photos`).

    Facts of the whole data set, the same in all its splits: `left_out`: {official part: its examples that are
    in no split}; `answers`: size of the answer vocabulary behind `answer_scores` and the group "domain";
    `boxes`: of its images, where they come with true ones; `phrases`: (an image's name, boxes (R, 4) in
    [0, 1]) -> what each box shows, "" for nothing or several things.
    """

    examples: list[Example]
    photos: tuple[Path, ...] = ()
    left_out: dict[str, int] = field(default_factory=dict)
    answers: int | None = None
    boxes: BoxesFile | None = None
    phrases: Callable[[str, np.ndarray], list[str]] | None = None


def read_records(path: Path, key: str) -> list[dict[str, Any]]:
    """The list of objects under a top-level key of a JSON file (.json or .json.gz)."""
    content = read_json(path)
    if not isinstance(content, dict) or key not in content:
        raise UserError(f"{path}: key {key!r} is missing at the top level; {RESTORE}")
    records = content[key]
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise UserError(f"{path}: {key!r} must be a list of objects; {RESTORE}")
    return records


def records_by_id(
    path: Path, key: str, id_key: str, twice: str, nameless: str = "record"
) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """(id, where, record) of the objects under a top-level key, in file order; `where` begins their messages.

    UserError for an id that is there twice, which ends in the advice `twice`. nameless: what a record without
    an id is called, before its number.
    """
    seen: set[int] = set()
    for number, record in enumerate(read_records(path, key)):
        found = take_id(record, id_key, f"{path}: {nameless} {number}")
        where = f"{path}: {id_key} {found}"
        if found in seen:
            raise UserError(f"{where} is there twice; {twice}")
        seen.add(found)
        yield found, where, record


def read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 text file (.gz or plain), without line ends or surrounding white space.

    UserError for a byte order mark, which would become part of the first line, and for Windows line ends:
    the owners' files have neither, and a converted copy would pass for other data (its hash differs).
    """
    lines = read_bytes(path).split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    texts = []
    for number, line in enumerate(lines, start=1):
        if number == 1 and line.startswith(codecs.BOM_UTF8):
            raise UserError(
                f"{path}: line 1 starts with a byte order mark; save it as UTF-8 without one or restore it"
            )
        if line.endswith(b"\r"):
            raise UserError(
                f"{path}: line {number} ends in a carriage return (CRLF, as on Windows); save it with Unix"
                " line ends or restore it"
            )
        try:
            texts.append(line.decode("utf-8").strip())
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path}: line {number} is not UTF-8 (byte {error.start}); save the file as UTF-8"
            ) from None
    return texts


def take(record: Any, key: str, where: str) -> Any:
    """record[key], or a UserError that names the record."""
    if not isinstance(record, dict) or key not in record:
        raise UserError(f"{where}: key {key!r} is missing; {RESTORE}")
    return record[key]


def take_id(record: dict[str, Any], key: str, where: str) -> int:
    """record[key] as a whole number."""
    value = take(record, key, where)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UserError(f"{where}: {key!r} must be a whole number, found {value!r}; {RESTORE}")
    return value


def take_text(record: dict[str, Any], key: str, where: str) -> str:
    """record[key] as a text that is not empty."""
    return check_text(take(record, key, where), key, where)


def check_text(text: Any, what: str, where: str) -> str:
    """The text without surrounding white space; UserError when it is empty, no text or not Unicode."""
    if not isinstance(text, str) or not text.strip():
        raise UserError(f"{where}: {what} is empty or not a text; write one or remove the record")
    if _SURROGATE.search(text):
        raise UserError(
            f"{where}: {what} has half a character (a lone surrogate, \\ud800 to \\udfff); fix it"
        )
    return text.strip()
