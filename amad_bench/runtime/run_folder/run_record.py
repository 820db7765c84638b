"""run.json: which run a folder belongs to, and what it was made with."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_json, write_json_atomic


@dataclass(frozen=True)
class RunRecord:
    """A run's id and kind, its canonical config, and its provenance: commit, versions, machine."""

    id: str
    kind: str
    config: dict[str, Any]
    provenance: dict[str, Any]

    def write(self, path: Path) -> None:
        """Write the record, as the first file of a run."""
        write_json_atomic(path, vars(self))

    @classmethod
    def read(cls, path: Path) -> "RunRecord":
        """The record in a file; UserError when it is missing or damaged."""
        found = read_json(path)
        match found:
            case {"id": str(), "kind": str(), "config": dict(), "provenance": dict()}:
                return cls(found["id"], found["kind"], found["config"], found["provenance"])
        raise UserError(
            f"{path}: an object with id, kind, config and provenance was expected; "
            "delete the run's folder and run again"
        )
