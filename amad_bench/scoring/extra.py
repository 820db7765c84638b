"""Metrics whose Java programs take long to start, in one job over the predictions of all runs."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_bytes, read_json, write_json_atomic, write_parquet_atomic
from amad_bench.scoring.captions import score_caption_corpora
from amad_bench.scoring.score_run import CONTROLS, SCORE_COLUMNS, caption_scores, score_frame, texts_of

_SETTINGS = {
    "METEOR": "meteor-1.5|lang:en|norm:yes|tok:ptb",
    "SPICE": "spice-1.0|parser:stanford-corenlp-3.6.0|tok:ptb",
}
_TRANSLATION = {
    "METEOR": "translations: METEOR's paraphrase tables for German and French do not come with pycocoevalcap"
}


@dataclass(frozen=True)
class ExtraScores:
    """`frame`: per-example scores (SCORE_COLUMNS). `unavailable`: metric -> why runs lack it.

    `signatures`: metric -> program and settings. `sources`: metric -> run id -> sha256 of the
    predictions.jsonl that its rows were made from.
    """

    frame: pd.DataFrame
    unavailable: dict[str, str]
    signatures: dict[str, str]
    sources: dict[str, dict[str, str]]


def score_extra(
    metrics: Sequence[str], folders: Mapping[str, Path], previous: ExtraScores | None = None
) -> ExtraScores:
    """METEOR and SPICE of finished captioning runs, controls left out; each metric starts its Java once.

    `folders`: run id -> folder with run.json and predictions.jsonl. Rows of `previous` are kept where
    predictions.jsonl has not changed. The frame is ordered by metric, then run, then split, so it does not
    matter in how many steps it was made. UserError for an unknown metric or a run's missing or broken file.
    """
    tasks = {run_id: read_json(folder / "run.json")["config"]["task"] for run_id, folder in folders.items()}
    files = {
        run_id: read_bytes(folders[run_id] / "predictions.jsonl")
        for run_id, task in tasks.items()
        if task == "captioning"
    }
    sources = {run_id: hashlib.sha256(content).hexdigest() for run_id, content in files.items()}
    scores = ExtraScores(_frame([]), {}, {metric: _signature(metric) for metric in metrics}, {})
    parts: list[pd.DataFrame] = []
    for metric in metrics:
        by_run = _unchanged(metric, sources, previous)
        lacking = {run_id: content for run_id, content in files.items() if run_id not in by_run}
        computed, reasons = _score(metric, lacking, folders)
        by_run |= computed
        if "translation" in tasks.values() and metric in _TRANSLATION:
            reasons.append(_TRANSLATION[metric])
        if reasons:
            scores.unavailable[metric] = "; ".join(reasons)
        scores.sources[metric] = {run_id: sources[run_id] for run_id in files if run_id in by_run}
        parts.extend(by_run[run_id] for run_id in files if run_id in by_run)
    return ExtraScores(_frame(parts), scores.unavailable, scores.signatures, scores.sources)


def write_extra(results: Path, scores: ExtraScores) -> None:
    """extra_scores.parquet (the frame) and extra_scores.json (the rest) in `results`."""
    table, facts = _paths(results)
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


def read_extra(results: Path) -> ExtraScores | None:
    """What `write_extra` wrote there, None when it never did. UserError for a broken file."""
    table, facts = _paths(results)
    if not facts.is_file() or not table.is_file():
        return None
    try:
        known = read_json(facts)
        frame = pd.read_parquet(table, engine="pyarrow")
        lists = [None if value is None else value.tolist() for value in frame["statistics"]]
        frame = frame.assign(statistics=pd.Series(lists, dtype=object)).reindex(columns=SCORE_COLUMNS)
        return ExtraScores(frame, known["unavailable"], known["signatures"], known["sources"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{table}: not as `amad-bench score` writes it ({type(error).__name__}: {error}); "
            f"delete it and {facts.name}, then run `amad-bench score` again"
        ) from None


def _paths(results: Path) -> tuple[Path, Path]:
    return results / "extra_scores.parquet", results / "extra_scores.json"


def _signature(metric: str) -> str:
    if metric not in _SETTINGS:
        raise UserError(f"extra metric {metric!r} is unknown; expected some of {', '.join(_SETTINGS)}")
    return f"{_SETTINGS[metric]}|pycocoevalcap:{version('pycocoevalcap')}"


def _unchanged(
    metric: str, sources: Mapping[str, str], previous: ExtraScores | None
) -> dict[str, pd.DataFrame]:
    """The rows of `previous` that still hold, by run."""
    if previous is None or previous.signatures.get(metric) != _signature(metric):
        return {}
    old = previous.sources.get(metric, {})
    frame = previous.frame
    return {
        run_id: frame.loc[(frame["metric"] == metric) & (frame["run_id"] == run_id)]
        for run_id, source in sources.items()
        if old.get(run_id) == source
    }


def _score(
    metric: str, predictions: Mapping[str, bytes], folders: Mapping[str, Path]
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Rows by run, for every run that could be scored whole; and the reasons why others could not."""
    rows = {
        (run_id, split): split_rows
        for run_id, content in predictions.items()
        for split, split_rows in _by_split(content, folders[run_id] / "predictions.jsonl").items()
        if not split.endswith(CONTROLS)
    }
    if not rows:
        return {}, []
    scored = score_caption_corpora({key: texts_of(rows[key]) for key in rows}, [metric])
    reasons = {scored[key].unavailable[metric] for key in scored if scored[key].unavailable}
    frames: dict[str, list[pd.DataFrame]] = {run_id: [] for run_id in predictions}
    for (run_id, split), captions in scored.items():
        frame = score_frame(rows[run_id, split], caption_scores(captions))
        frames[run_id].append(frame.assign(run_id=run_id, split=split))
    whole = {
        run_id: _frame(parts)
        for run_id, parts in frames.items()
        if parts and all(len(part) > 0 for part in parts)
    }
    return whole, sorted(reasons)


def _by_split(content: bytes, path: Path) -> dict[str, list[dict[str, Any]]]:
    by_split: dict[str, list[dict[str, Any]]] = {}
    try:
        for line in content.decode("utf-8").rstrip("\n").split("\n"):
            row = json.loads(line)
            by_split.setdefault(row["split"], []).append(row)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: a JSON record per line was expected ({type(error).__name__}: {error}); "
            "delete the run's folder and run again"
        ) from None
    return by_split


def _frame(parts: list[pd.DataFrame]) -> pd.DataFrame:
    empty = score_frame([], {}).assign(run_id="", split="")
    return (pd.concat(parts, ignore_index=True) if parts else empty).reindex(columns=SCORE_COLUMNS)
