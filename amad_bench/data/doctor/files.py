"""Check of what a config needs below AMAD_DATA: is it there, as published, and what does it block if not.

Not checked, since it takes as long as preparing the data, which does it (`amad-bench data`): features beyond
those of one image per file, whether each photo can be decoded, whether a vocabulary is large enough.
"""

import os
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from amad_bench.data.doctor.manifests import FileFacts, read_manifest
from amad_bench.data.images.feature_files import H5_SUFFIXES, FeatureFiles
from amad_bench.data.images.photos import Photos
from amad_bench.plan.catalogue import DATASETS
from amad_bench.plan.config.schema import Config, TaskEntry
from amad_bench.plan.datafiles import Source
from amad_bench.plan.grid import possible_runs
from amad_bench.plan.overview import aligned
from amad_bench.plan.run import Run
from amad_bench.plan.task_data import checkpoint_sources, data_sources, pretraining_sources
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.filehash import listing, read_sha256
from amad_bench.runtime.files import read_bytes, read_json, refuse_lfs_pointer
from amad_bench.runtime.paths import MANIFESTS, amad_data, shipped

RECORD_KEYS = ("annotations", "questions", "images")  # the records are under the first of these
FROM_CONFIG = "named in the config"
NAMED = "named_in_configs"  # the manifest of what no data set has: models, features


@dataclass(frozen=True)
class Finding:
    """One thing that the config needs.

    state: "ok", "missing", "unreadable" or "differs" (from what its owner publishes). source: who publishes
    it. tasks: "family task dataset" of the entries that need it, with `runs` in all. compared: facts
    that were compared with configs/data, "" where none is known.
    """

    path: str
    tasks: tuple[str, ...]
    runs: int
    source: str
    state: str
    size: int | None = None
    records: int | None = None
    compared: str = ""
    note: str = ""


@dataclass
class _Users:
    source: Source
    tasks: dict[str, TaskEntry] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)


def examine_files(config: Config) -> list[Finding]:
    """A finding per file, folder or archive, in the order of the tasks; every file is read again.

    UserError: a file in configs/data that is broken.
    """
    users: dict[str, _Users] = {}  # a folder can hold a tokenizer and a checkpoint
    for entry in config.tasks:
        runs = possible_runs(config, entry)
        pretrained = {run.id for run in runs if run.config.pretraining != "none"}
        concerned = {
            **dict.fromkeys(pretraining_sources(config, entry), pretrained),
            **{source: {run.id for run in runs} for source in data_sources(config, entry)},
            **{
                source: {run.id for run in runs if _starts_from(run, source.path)}
                for source in checkpoint_sources(config, entry)
            },
        }
        for source, blocked in concerned.items():
            of_path = users.setdefault(source.path, _Users(source))
            of_path.tasks[f"{entry.family} {entry.task} {entry.dataset}"] = entry
            of_path.runs |= blocked
    return [
        Finding(
            path=path,
            tasks=tuple(of_path.tasks),
            runs=len(of_path.runs),
            source=(published := _published(config, of_path.source, [*of_path.tasks.values()])).publisher,
            **_measured(of_path.source, published),
        )
        for path, of_path in users.items()
    ]


def _starts_from(run: Run, path: str) -> bool:
    start = run.config.start
    return start is not None and path in start.checkpoints


def _published(config: Config, source: Source, entries: Sequence[TaskEntry]) -> FileFacts:
    """Facts known of a file; a part of a data set (`subset`) is not compared with the published whole."""
    if source.kind in ("features", "folder", "checkpoint"):
        return read_manifest(NAMED).files.get(source.path, FileFacts(publisher=FROM_CONFIG))
    if not (entries := [entry for entry in entries if entry.dataset in DATASETS]):
        return FileFacts(publisher=FROM_CONFIG)
    whole = [e for e in entries if not config.options(e.dataset).get("subset", False)]
    facts = read_manifest((whole or entries)[0].dataset).facts(source.path)
    return facts if whole else FileFacts(publisher=facts.publisher)


def _measured(source: Source, published: FileFacts) -> dict[str, Any]:
    """The measured fields of its Finding."""
    try:
        root = amad_data()
    except UserError as error:
        return {"state": "missing", "note": str(error).split(":")[0]}
    path = source.found(root)
    if path is None:
        return _not_found(root / source.path)
    try:
        found = _measure(source, path, published)
    except (OSError, tarfile.TarError, UserError) as error:
        return {"state": "unreadable", "note": str(error).removeprefix(f"{path}: ")}
    expected = {key: getattr(published, key) for key in ("sha256", "records", "bytes")}
    compared = [key for key, value in expected.items() if value is not None and found[key] is not None]
    differing = [key for key in compared if expected[key] != found[key]]
    return {
        "state": "differs" if differing else "ok",
        "size": found["bytes"],
        "records": found["records"],
        "compared": ", ".join(compared),
        "note": "; ".join(f"{key} should be {expected[key]}" for key in differing),
    }


def _not_found(path: Path) -> dict[str, Any]:
    if path.exists():
        return {"state": "unreadable", "note": "a folder" if path.is_dir() else "a file, not a folder"}
    return {"state": "missing"}


def _measure(source: Source, path: Path, published: FileFacts) -> dict[str, Any]:
    """Size and number of records, of a folder the number of its files alone; a known SHA-256 is compared."""
    if path.is_dir() and source.kind != "photos":
        if path.suffix in H5_SUFFIXES:
            raise IsADirectoryError("a folder")
        files = listing(path)
        for file in files if source.kind != "features" else ():
            refuse_lfs_pointer(path / file.name)
        return {"bytes": None, "sha256": None, "records": len(files)}
    records = _records(source, path)
    if path.is_dir():
        return {"bytes": None, "sha256": None, "records": records}
    digest = read_sha256(path) if published.sha256 else None
    return {"bytes": os.path.getsize(path), "sha256": digest, "records": records}


def _records(source: Source, path: Path) -> int | None:
    """Photos, records of a JSON file, lines of a text (of a table without its header); not of other files."""
    if source.kind == "checkpoint":
        refuse_lfs_pointer(path)
        return None
    if source.kind == "photos":
        with Photos([path.with_name(Path(source.path).name)]) as photos:
            return len(photos.names)
    if source.kind == "features":
        FeatureFiles([path], size=1, max_regions=1).close()  # it can be opened
        return None
    if ".json" in path.suffixes:
        return _json_records(path)
    content = read_bytes(path)
    lines = content.count(b"\n") + (not content.endswith(b"\n") and bool(content))
    return lines - (path.suffix == ".tsv")


def _json_records(path: Path) -> int:
    document = read_json(path)
    keys = [key for key in RECORD_KEYS if isinstance(document, dict) and key in document]
    records = document[keys[0]] if keys else document
    if not isinstance(records, list | dict):
        raise UserError(f"{path}: {keys[0] if keys else 'its content'} is neither a list nor a mapping")
    return len(records)


def files_report(findings: Sequence[Finding]) -> list[str]:
    """The findings as lines for people; of what is not as needed, which tasks it blocks, and its source."""
    if not findings:
        return ["no file is needed below AMAD_DATA: all data of this config are generated"]
    header = ["file", "state", "MiB", "records", "compared", "runs"]
    rows = [
        [
            finding.path,
            finding.state,
            "-" if finding.size is None else f"{finding.size / 2**20:.1f}",
            "-" if finding.records is None else f"{finding.records:,}",
            finding.compared or "nothing known",
            finding.runs,
        ]
        for finding in findings
    ]
    lines = aligned([header, *rows])
    if not shipped(MANIFESTS).is_dir():
        lines.append(f"{MANIFESTS}: not found here, nothing is compared with what is published")
    for finding in findings:
        if finding.state != "ok":
            note = f" ({finding.note})" if finding.note else ""
            blocks = "may block" if finding.state == "differs" else "blocks"
            source = f"; source: {finding.source}" if finding.source else ""
            tasks = ", ".join(finding.tasks)
            lines.append(
                f"{finding.path}: {finding.state}{note}, {blocks} {finding.runs} runs: {tasks}{source}"
            )
    return lines
