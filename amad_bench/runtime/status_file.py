"""status.json, checked: how a run ended."""

from pathlib import Path
from typing import Any

from amad_bench.runtime.errors import STATUSES, UserError
from amad_bench.runtime.files import read_json


def read_status(folder: Path) -> dict[str, Any]:
    """What is in a run's folder; UserError when it is missing, broken or says nothing of STATUSES."""
    path = folder / "status.json"
    facts = read_json(path)
    if not isinstance(facts, dict) or facts.get("status") not in STATUSES:
        raise UserError(
            f"{path}: an object with a `status`, one of {', '.join(STATUSES)}, was expected; "
            "delete the run's folder and run again"
        )
    return facts
