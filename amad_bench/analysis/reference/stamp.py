"""stamp.json of a reference: what its tables were made of, and by which schema they are read."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_json, write_json_atomic

SCHEMA = 1
AGAIN = "make the reference again by `amad-bench verify --write`"


@dataclass(frozen=True)
class Stamp:
    """The origin of a reference.

    name: of its folder; config: file that was run; plan: hash of its plan; commit, date: of the runs, and of
    the writing; machines: facts of each that runs were made on; versions: of all in the catalogue that they
    use, and of the analysis; columns: of each table.
    """

    schema: int
    name: str
    config: str
    plan: str
    commit: str
    date: str
    machines: list[dict[str, Any]]
    versions: dict[str, int]
    columns: dict[str, list[str]]

    def write(self, folder: Path) -> None:
        """Write it into the folder of a reference."""
        write_json_atomic(folder / "stamp.json", vars(self))

    @classmethod
    def read(cls, folder: Path) -> "Stamp":
        """The stamp in a folder; UserError where there is none, or one of another schema."""
        path = folder / "stamp.json"
        if not folder.is_dir():
            raise UserError(f"{folder}: no such folder; name a reference, such as results/reference/NAME")
        found = read_json(path)
        schema = found.get("schema") if isinstance(found, dict) else None
        if schema != SCHEMA:
            raise UserError(f"{path}: its schema is {schema}, {SCHEMA} was expected; {AGAIN}")
        names = {field.name for field in fields(cls)}
        if found.keys() != names or not _typed(cls, found) or "runs" not in found["columns"]:
            raise UserError(f"{path}: not as it is written; restore it, or {AGAIN}")
        return cls(**found)


def _typed(record: type, found: dict[str, Any]) -> bool:
    """Whether the values are of the types that the record's fields have."""
    return all(
        isinstance(found[name], get_origin(hint) or hint) for name, hint in get_type_hints(record).items()
    )
