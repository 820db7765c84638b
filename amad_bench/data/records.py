"""One example of any task, and reading text and JSON records with errors that name file and record."""

import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_json

# JSON can spell half of a UTF-16 pair; no UTF-8 file can hold it.
_SURROGATE = re.compile("[\ud800-\udfff]")
RESTORE = "restore the file (SHA256SUMS tells the right content) or fix the record"


@dataclass(frozen=True)
class Example:
    """What a loader returns for each record.

    `cluster_id`: examples on the same photo share it. `image`: name in the archive, None without a photo.
    `source`: question or English sentence, "" for captioning. `target`: what training teaches;
    `references`: what the prediction is compared with. `where`: file and record, for error messages.
    """

    example_id: str
    cluster_id: str
    image: str | None
    source: str
    target: str
    references: tuple[str, ...]
    where: str


def read_records(path: Path, key: str) -> list[dict[str, Any]]:
    """The list of objects under a top-level key of a JSON file."""
    content = read_json(path)
    if not isinstance(content, dict) or key not in content:
        raise UserError(f"{path}: key {key!r} is missing at the top level; {RESTORE}")
    records = content[key]
    if not isinstance(records, list) or not all(isinstance(record, dict) for record in records):
        raise UserError(f"{path}: {key!r} must be a list of objects; {RESTORE}")
    return records


def read_lines(path: Path) -> list[str]:
    """Lines of a UTF-8 text file (.gz or plain), without line ends or surrounding white space."""
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except FileNotFoundError:
        raise UserError(
            f"{path}: no such file; put it there or set AMAD_DATA to the folder that has it"
        ) from None
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read ({error}); {RESTORE}") from None
    lines = content.split(b"\n")
    if lines[-1] == b"":
        lines.pop()
    texts = []
    for number, line in enumerate(lines, start=1):
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
    if not isinstance(value, int):
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
