"""Metrics whose Java programs take long to start, in one job over the predictions of all runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version

import pandas as pd

from amad_bench.plan.catalogue import EXTRA_METRICS, METRICS
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_json, write_json_atomic, write_parquet_atomic
from amad_bench.runtime.results import ResultsFolder
from amad_bench.runtime.run_folder.predictions import CONTROLS, predictions_sha256, read_predictions
from amad_bench.runtime.run_folder.scores import SCORE_COLUMNS
from amad_bench.scoring.captions import score_caption_corpora
from amad_bench.scoring.score_splits import captions_of, score_frame

_SETTINGS = {
    "METEOR": "meteor-1.5|lang:en|norm:yes|tok:ptb",
    "SPICE": "spice-1.0|parser:stanford-corenlp-3.6.0|tok:ptb",
}
_NAMED = 3  # runs in a message; of the others only the number is given

Reasons = dict[str, str]  # run id -> why it has no scores


@dataclass(frozen=True)
class ExtraScores:
    """Extra scores of captioning runs.

    `frame`: per-example scores (SCORE_COLUMNS). `unavailable`: metric -> run id -> why it has none.
    `signatures`: metric -> program and settings. `sources`: metric -> run id -> sha256 of the
    predictions.jsonl that its rows, or the reason why it has none, were made from.
    """

    frame: pd.DataFrame
    unavailable: dict[str, Reasons]
    signatures: dict[str, str]
    sources: dict[str, dict[str, str]]


@dataclass(frozen=True)
class _OfMetric:
    """Rows of the frame by run id, reasons why others have none, and what both were made from."""

    rows: dict[str, pd.DataFrame] = field(default_factory=dict)
    reasons: Reasons = field(default_factory=dict)
    sources: dict[str, str] = field(default_factory=dict)


def no_scores() -> ExtraScores:
    return ExtraScores(_frame([]), {}, {}, {})


def score_extra(
    metrics: Sequence[str],
    run_ids: Sequence[str],
    results: ResultsFolder,
    previous: ExtraScores | None = None,
) -> ExtraScores:
    """METEOR and SPICE of finished captioning runs, controls left out; each metric starts its Java once.

    What is in `previous` is kept, also of other metrics and runs, as long as the predictions are there
    unchanged and the metric is computed in the same way; only runs that lack a score are scored. The frame is
    ordered by metric, run and split, so it does not matter in how many steps it was made. UserError for an
    unknown metric or damaged predictions.
    """
    for metric in metrics:
        if metric not in _SETTINGS:
            raise UserError(f"extra metric {metric!r} is unknown; expected some of {', '.join(_SETTINGS)}")
    previous = previous or no_scores()
    # Before anything is read: what changes meanwhile is scored again the next time.
    sources = {run_id: predictions_sha256(results.run(run_id).predictions) for run_id in sorted(run_ids)}
    scores = no_scores()
    parts: list[pd.DataFrame] = []
    for metric in EXTRA_METRICS:
        part = _kept(metric, previous, results)
        if metric in metrics:
            lacking = {run_id: source for run_id, source in sources.items() if run_id not in part.rows}
            _add(part, metric, lacking, results)
        elif not part.sources:
            continue
        parts.extend(part.rows[run_id] for run_id in sorted(part.rows))
        scores.signatures[metric] = _signature(metric)
        scores.sources[metric] = dict(sorted(part.sources.items()))
        if part.reasons:
            scores.unavailable[metric] = dict(sorted(part.reasons.items()))
    return ExtraScores(_frame(parts), scores.unavailable, scores.signatures, scores.sources)


def by_reason(reasons: Reasons) -> list[str]:
    """Each reason once, with the runs that it concerns: "it died (runs a, b, c and 2 more)"."""
    lines = []
    for reason in dict.fromkeys(reasons.values()):
        run_ids = [run_id for run_id, own in reasons.items() if own == reason]
        more = f" and {len(run_ids) - _NAMED} more" if len(run_ids) > _NAMED else ""
        runs = "run" if len(run_ids) == 1 else "runs"
        lines.append(f"{reason} ({runs} {', '.join(run_ids[:_NAMED])}{more})")
    return lines


def write_extra(results: ResultsFolder, scores: ExtraScores) -> None:
    """Write extra_scores.parquet (the frame) and extra_scores.json (the rest)."""
    table, facts = results.extra_scores, results.extra_facts
    facts.unlink(missing_ok=True)  # it must never describe another table
    write_parquet_atomic(table, scores.frame)
    write_json_atomic(
        facts,
        {
            "unavailable": scores.unavailable,
            "signatures": scores.signatures,
            "sources": scores.sources,
        },
    )


def read_extra(results: ResultsFolder) -> ExtraScores | None:
    """The scores that `write_extra` wrote, None when it never did. UserError for a broken file."""
    table, facts = results.extra_scores, results.extra_facts
    if not facts.is_file() or not table.is_file():
        return None
    try:
        known = read_json(facts)
        frame = pd.read_parquet(table, engine="pyarrow")
        lists = [None if value is None else value.tolist() for value in frame["statistics"]]
        frame = frame.assign(statistics=pd.Series(lists, dtype=object)).reindex(columns=SCORE_COLUMNS)
        unavailable = {metric: dict(reasons) for metric, reasons in known["unavailable"].items()}
        sources = {metric: dict(of_runs) for metric, of_runs in known["sources"].items()}
        return ExtraScores(frame, unavailable, dict(known["signatures"]), sources)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{table}: not as `amad-bench score` writes it ({type(error).__name__}: {error}); "
            f"delete it and {facts.name}, then run `amad-bench score` again"
        ) from None


def _signature(metric: str) -> str:
    own = METRICS[metric].version
    return f"{_SETTINGS[metric]}|version:{own}|pycocoevalcap:{version('pycocoevalcap')}"


def _kept(metric: str, previous: ExtraScores, results: ResultsFolder) -> _OfMetric:
    """Part of `previous` that still holds."""
    if previous.signatures.get(metric) != _signature(metric):
        return _OfMetric()
    old, reasons = previous.sources.get(metric, {}), previous.unavailable.get(metric, {})
    files = {run_id: results.run(run_id).predictions for run_id in old}
    sources = {
        run_id: source
        for run_id, source in old.items()
        if files[run_id].is_file() and predictions_sha256(files[run_id]) == source
    }
    frame = previous.frame.loc[previous.frame["metric"] == metric]
    rows = {str(run_id): part for run_id, part in frame.groupby("run_id") if run_id in sources}
    return _OfMetric(rows, {run_id: reasons[run_id] for run_id in reasons if run_id in sources}, sources)


def _add(part: _OfMetric, metric: str, sources: Mapping[str, str], results: ResultsFolder) -> None:
    """The scores of more runs, or why they have none."""
    corpora = {
        (run_id, split): rows
        for run_id in sources
        for split, rows in read_predictions(results.run(run_id).predictions).items()
        if not split.endswith(CONTROLS)
    }
    if not corpora:
        return
    part.sources.update(sources)
    scored = score_caption_corpora({key: captions_of(rows) for key, rows in corpora.items()}, [metric])
    frames: dict[str, list[pd.DataFrame]] = {}
    for run_id in sources:
        part.reasons.pop(run_id, None)
    for (run_id, split), captions in scored.items():
        if captions.unavailable:
            part.reasons.setdefault(run_id, captions.unavailable[metric])
        frame = score_frame(corpora[run_id, split], captions.scores)
        frames.setdefault(run_id, []).append(frame.assign(run_id=run_id, split=split))
    part.rows.update({run_id: _frame(own) for run_id, own in frames.items() if run_id not in part.reasons})


def _frame(parts: list[pd.DataFrame]) -> pd.DataFrame:
    empty = score_frame([], {}).assign(run_id="", split="")
    return (pd.concat(parts, ignore_index=True) if parts else empty).reindex(columns=SCORE_COLUMNS)
