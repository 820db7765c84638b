"""The metrics that one job makes for all runs: which runs they measure, and which of these lack them."""

from collections.abc import Mapping
from importlib.metadata import version

from amad_bench.plan.catalogue import METRICS
from amad_bench.plan.plan import Plan
from amad_bench.plan.run_config import short_hash
from amad_bench.plan.standing import Standing
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_json
from amad_bench.runtime.results import ResultsFolder

NOT_SCORED = "not scored yet"
_NAMED = 3  # runs in a message; of the others only the number is given

Reasons = dict[str, str]  # run id -> why it has no scores


def runs_measured_by(metric: str, plan: Plan) -> list[str]:
    """The ids of the plan's runs whose outputs the metric can measure."""
    of = METRICS[metric]
    return [run.id for run in plan.runs if of.fits(run.config.task, run.config.dataset.record)]


def signature(metric: str) -> str:
    """Program and settings that a slow metric is computed with; other ones make other scores."""
    record = METRICS[metric]
    package = f"|{record.package}:{version(record.package)}" if record.package else ""
    return f"{record.settings}|version:{record.version}{package}"


def usable_runs(plan: Plan, standings: Mapping[str, Standing]) -> dict[str, list[str]]:
    """By extra metric that the plan asks for, the ids of the runs that it measures and that ended well."""
    return {
        metric: [run_id for run_id in runs_measured_by(metric, plan) if standings[run_id].usable]
        for metric in plan.extra_metrics
    }


def unscored(plan: Plan, results: ResultsFolder, standings: Mapping[str, Standing]) -> dict[str, Reasons]:
    """By extra metric that the plan asks for, each usable run without its scores and why it has none.

    By extra_scores.json alone; that the scores are those of the predictions is `extra_ended`'s to say.
    """
    found: dict[str, Reasons] = {}
    for metric, run_ids in usable_runs(plan, standings).items():
        sources, reasons = _tried(metric, results)
        lacking = [run_id for run_id in run_ids if run_id not in sources or run_id in reasons]
        if lacking:
            found[metric] = {run_id: reasons.get(run_id, NOT_SCORED) for run_id in lacking}
    return found


def by_reason(reasons: Reasons) -> list[str]:
    """Each reason once, with the runs that it concerns: "it died (runs a, b, c and 2 more)"."""
    lines: list[str] = []
    for reason in dict.fromkeys(reasons.values()):
        run_ids = [run_id for run_id, own in reasons.items() if own == reason]
        more = f" and {len(run_ids) - _NAMED} more" if len(run_ids) > _NAMED else ""
        runs = "run" if len(run_ids) == 1 else "runs"
        lines.append(f"{reason} ({runs} {', '.join(run_ids[:_NAMED])}{more})")
    return lines


def extra_ended(plan: Plan, standings: Mapping[str, Standing]) -> str:
    """The content of the marker that says that the extra metrics of these very outcomes were tried."""
    outcomes = {
        metric: {run_id: vars(standings[run_id].status) for run_id in run_ids}
        for metric, run_ids in usable_runs(plan, standings).items()
    }
    return short_hash(outcomes, 16)


def _tried(metric: str, results: ResultsFolder) -> tuple[dict[str, str], dict[str, str]]:
    """By run that a metric was tried for, the predictions, and why there are no scores where none are.

    Both are {} where that was done in another way than now, or never, or what was written is damaged.
    """
    if not results.extra_facts.is_file() or not results.extra_scores.is_file():
        return {}, {}
    try:
        facts = read_json(results.extra_facts)
        if facts["signatures"].get(metric) == signature(metric):
            return dict(facts["sources"].get(metric, {})), dict(facts["unavailable"].get(metric, {}))
    except (UserError, LookupError, TypeError, ValueError, AttributeError):
        pass
    return {}, {}
