"""What Snakemake sees is brought in line with what has ended, so that it plans exactly what is left."""

from collections.abc import Mapping
from pathlib import Path

from amad_bench.plan.extra_metrics import extra_ended, unscored
from amad_bench.plan.plan import Plan
from amad_bench.plan.run_config import short_hash
from amad_bench.plan.standing import RUNNING, Standing, outcomes_hash
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_json
from amad_bench.runtime.results import ResultsFolder


def align_markers(plan: Plan, standings: Mapping[str, Standing], results: ResultsFolder) -> None:
    """Each run has a marker exactly when it has ended, the extra metrics when each run has its scores."""
    for identifier, own in standings.items():
        marker = results.run(identifier).ended
        if not own.left:
            if not marker.exists():
                marker.touch()
        elif own.state != RUNNING:  # else it ends soon, and may have made its marker by now
            marker.unlink(missing_ok=True)
    marker = results.extra_ended
    if marker.exists() and (
        unscored(plan, results, standings) or _content(marker) != extra_ended(plan, standings)
    ):
        marker.unlink()


def forget_outdated_tables(plan: Plan, standings: Mapping[str, Standing], results: ResultsFolder) -> None:
    """Tables that were collected for another plan, or of other outcomes, are to be collected again."""
    if results.plan.exists() and _stamp(results.plan) != (plan.hash, made_of(standings, results)):
        results.plan.unlink()


def made_of(standings: Mapping[str, Standing], results: ResultsFolder) -> str:
    """Changes exactly when the tables would: with the runs that have ended, and with the extra scores."""
    extra = results.extra_facts.read_bytes().decode() if results.extra_facts.is_file() else ""
    return short_hash([outcomes_hash(standings), extra], 16)


def _stamp(path: Path) -> tuple[object, object]:
    try:
        found = read_json(path)
        return found.get("hash"), found.get("made_of")
    except (UserError, AttributeError):
        return None, None


def _content(marker: Path) -> str:
    return marker.read_text(encoding="utf-8", errors="replace")
