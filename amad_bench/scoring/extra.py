"""Metrics whose programs take long to start, in one job over the predictions of all runs."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pandas as pd

from amad_bench.plan.catalogue import METRICS
from amad_bench.plan.extra_metrics import Reasons, signature
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_json, write_json_atomic, write_parquet_atomic
from amad_bench.runtime.results import ResultsFolder
from amad_bench.runtime.run_folder.predictions import CONTROLS, predictions_sha256, read_predictions
from amad_bench.runtime.run_folder.scores import SCORE_COLUMNS, statistics_as_lists
from amad_bench.scoring.metrics import measure
from amad_bench.scoring.score_splits import score_frame


@dataclass(frozen=True)
class ExtraScores:
    """Scores of slow metrics.

    `frame`: per-example scores (SCORE_COLUMNS). `unavailable`: metric -> run id -> why it has none.
    `signatures`: metric -> program and settings. `sources`: metric -> run id -> sha256 of the
    predictions.jsonl that its rows, or the reason why it has none, were made from.
    """

    frame: pd.DataFrame = field(default_factory=lambda: _frame([]))
    unavailable: dict[str, Reasons] = field(default_factory=dict)
    signatures: dict[str, str] = field(default_factory=dict)
    sources: dict[str, dict[str, str]] = field(default_factory=dict)


def score_extra(
    wanted: Mapping[str, Sequence[str]], results: ResultsFolder, previous: ExtraScores
) -> ExtraScores:
    """Slow metrics of finished runs, controls left out; each metric starts its program once.

    wanted: metric -> ids of the runs.

    What is in `previous` is kept, also of other metrics and runs, as long as the predictions are there
    unchanged and the metric is computed in the same way; only runs that lack a score are scored. The frame is
    ordered by metric, run and split, so it does not matter in how many steps it was made. UserError for an
    unknown metric or damaged predictions.
    """
    slow = [name for name, record in METRICS.items() if record.slow]
    for metric in wanted:
        if metric not in slow:
            raise UserError(f"extra metric {metric!r} is unknown; expected some of {', '.join(slow)}")
    # Before anything is read: what changes meanwhile is scored again the next time.
    sources = {
        run_id: predictions_sha256(results.run(run_id).predictions)
        for run_id in dict.fromkeys(run_id for run_ids in wanted.values() for run_id in run_ids)
    }
    found, frames = ExtraScores(), []
    for metric in slow:
        kept = _unchanged(metric, previous, results)
        old = previous.frame.loc[(previous.frame["metric"] == metric) & previous.frame["run_id"].isin(kept)]
        reasons = {run: why for run, why in previous.unavailable.get(metric, {}).items() if run in kept}
        if metric in wanted:
            lacking = set(wanted[metric]) - set(old["run_id"])
            new, failed = _scored(metric, sorted(lacking), results)
            frames += new
            kept |= {run_id: sources[run_id] for run_id in lacking}
            reasons = {run: why for run, why in reasons.items() if run not in lacking} | failed
        elif not kept:
            continue
        frames.append(old)
        found.signatures[metric] = signature(metric)
        found.sources[metric] = dict(sorted(kept.items()))
        if reasons:
            found.unavailable[metric] = dict(sorted(reasons.items()))
    frame = _frame(frames).sort_values(["metric", "run_id"], kind="stable", ignore_index=True)
    return replace(found, frame=frame)


def write_extra(results: ResultsFolder, scores: ExtraScores) -> None:
    """Write extra_scores.parquet (the frame) and extra_scores.json (the rest)."""
    table, facts = results.extra_scores, results.extra_facts
    facts.unlink(missing_ok=True)  # it must never describe another table
    write_parquet_atomic(table, scores.frame)
    write_json_atomic(facts, {key: getattr(scores, key) for key in ("unavailable", "signatures", "sources")})


def read_extra(results: ResultsFolder) -> ExtraScores:
    """The scores that `write_extra` wrote, none when it never did. UserError for a broken file."""
    table, facts = results.extra_scores, results.extra_facts
    if not facts.is_file() or not table.is_file():
        return ExtraScores()
    try:
        known = read_json(facts)
        frame = pd.read_parquet(table, engine="pyarrow")
        frame = statistics_as_lists(frame).reindex(columns=SCORE_COLUMNS)
        unavailable = {metric: dict(reasons) for metric, reasons in known["unavailable"].items()}
        sources = {metric: dict(of_runs) for metric, of_runs in known["sources"].items()}
        return ExtraScores(frame, unavailable, dict(known["signatures"]), sources)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{table}: not as `amad-bench score` writes it ({type(error).__name__}: {error}); "
            f"delete it and {facts.name}, then run `amad-bench score` again"
        ) from None


def adopt_extra(results: ResultsFolder, source: ResultsFolder, run_ids: Collection[str]) -> int:
    """Add the slow metrics of runs that were copied from another results folder; how many runs had some.

    Left out are metrics that were computed in another way than here, and scores of other predictions than the
    copied ones: `score` makes these. UserError for a broken file.
    """
    ours, theirs = read_extra(results), read_extra(source)
    adopted = set[str]()
    frames, merged = [ours.frame], ExtraScores(signatures=dict(ours.signatures))
    for metric in ours.sources.keys() | theirs.sources.keys():
        own = ours.signatures.get(metric) in (None, signature(metric))
        known = _unchanged(metric, theirs, results) if own else {}
        new = {run_id: known[run_id] for run_id in run_ids if run_id in known}
        reasons = {run: why for run, why in theirs.unavailable.get(metric, {}).items() if run in new}
        rows = theirs.frame
        frames[0] = frames[0].loc[(frames[0]["metric"] != metric) | ~frames[0]["run_id"].isin(new)]
        frames.append(rows.loc[(rows["metric"] == metric) & rows["run_id"].isin(new)])
        before = {run: why for run, why in ours.unavailable.get(metric, {}).items() if run not in new}
        if sources := ours.sources.get(metric, {}) | new:
            merged.sources[metric] = dict(sorted(sources.items()))
            merged.signatures.setdefault(metric, signature(metric))
        if before | reasons:
            merged.unavailable[metric] = dict(sorted((before | reasons).items()))
        adopted |= new.keys()
    if adopted:
        frame = _frame(frames).sort_values(["metric", "run_id"], kind="stable", ignore_index=True)
        write_extra(results, replace(merged, frame=frame))
    return len(adopted)


def _unchanged(metric: str, previous: ExtraScores, results: ResultsFolder) -> dict[str, str]:
    """Sources in `previous` that the metric's rows and reasons still hold for."""
    if previous.signatures.get(metric) != signature(metric):
        return {}
    return {
        run_id: source
        for run_id, source in previous.sources.get(metric, {}).items()
        if (path := results.run(run_id).predictions).is_file() and predictions_sha256(path) == source
    }


def _scored(
    metric: str, run_ids: Sequence[str], results: ResultsFolder
) -> tuple[list[pd.DataFrame], Reasons]:
    """The scores of runs, by run and split, and why others have none."""
    corpora = {
        (run_id, split): rows
        for run_id in run_ids
        for split, rows in read_predictions(results.run(run_id).predictions).items()
        if not split.endswith(CONTROLS)
    }
    if not corpora:
        return [], {}
    found = dict(zip(corpora, measure([metric], list(corpora.values())), strict=True))
    failed: Reasons = {}
    for (run_id, _), measured in found.items():
        if reason := measured[metric].unavailable:
            failed.setdefault(run_id, reason)
    return [
        score_frame(corpora[run_id, split], measured).assign(run_id=run_id, split=split)
        for (run_id, split), measured in found.items()
        if run_id not in failed
    ], failed


def _frame(parts: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [part for part in parts if not part.empty]
    filled = filled or [score_frame([], {}).assign(run_id="", split="")]
    return pd.concat(filled, ignore_index=True).reindex(columns=SCORE_COLUMNS)
