"""What a config needs below AMAD_DATA: is it there, is it the published content, and what does it block."""

import json
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from amad_bench.data.datasets import read_examples
from amad_bench.data.overlap import describe_overlap, image_overlap
from amad_bench.plan.cell_data import cell_form, data_needs
from amad_bench.plan.datafiles import Need
from amad_bench.plan.grid import run_count
from amad_bench.plan.overview import aligned
from amad_bench.plan.schema import Config
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.filehash import read_sha256
from amad_bench.runtime.files import read_bytes
from amad_bench.runtime.paths import amad_data

MANIFESTS = Path("configs/data")
RECORD_KEYS = ("annotations", "questions", "images")  # the records are under the first of these


@dataclass(frozen=True)
class Finding:
    """One thing that the config needs.

    state: "ok", "missing", "unreadable" or "differs" (from what its owner publishes).

    compared: which facts were compared with configs/data, "" where none is known. runs: those that need it.
    """

    dataset: str
    path: str
    runs: int
    publisher: str
    state: str
    size: int | None = None
    records: int | None = None
    compared: str = ""
    note: str = ""


def examine_files(config: Config) -> list[Finding]:
    """A finding per file, folder or archive, in the order of the cells; every file is read again."""
    known = _known()
    runs: dict[Need, int] = {}
    datasets: dict[Need, str] = {}
    for cell in config.cells:
        for need in data_needs(config, cell):
            runs[need] = runs.get(need, 0) + run_count(config, cell)
            datasets.setdefault(need, cell.dataset)
    findings = []
    for need, count in runs.items():
        manifest = known.get(datasets[need], {"publisher": "", "files": {}})
        # A part of the files is not what their owner publishes.
        partial = config.datasets[datasets[need]].options(datasets[need]).get("subset", False)
        measured = _measured(need, {} if partial else manifest["files"])
        findings.append(
            Finding(datasets[need], need.path, runs=count, publisher=manifest["publisher"], **measured)
        )
    return findings


def _known() -> dict[str, Any]:
    """Data set -> what configs/data says of its files."""
    return {path.stem: yaml.safe_load(path.read_text()) for path in sorted(MANIFESTS.glob("*.yaml"))}


def _measured(need: Need, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The measured fields of its Finding; facts: what is known of the data set's files."""
    try:
        root = amad_data()
    except UserError as error:
        return {"state": "missing", "note": str(error).split(":")[0]}
    path = need.found(root)
    if path is None:
        return {"state": "missing"}
    expected = facts.get(str(path.relative_to(root)), facts.get(need.path, {}))
    try:
        found = _measure(path)
    except (OSError, ValueError, tarfile.TarError, UserError) as error:
        return {"state": "unreadable", "note": str(error)}
    compared = [key for key in ("sha256", "records", "bytes") if key in expected and found[key] is not None]
    differing = [key for key in compared if expected[key] != found[key]]
    return {
        "state": "differs" if differing else "ok",
        "size": found["bytes"],
        "records": found["records"],
        "compared": ", ".join(compared),
        "note": "; ".join(f"{key} should be {expected[key]}" for key in differing),
    }


def _measure(path: Path) -> dict[str, Any]:
    """Size, SHA-256 and number of records; of a folder the number of its files alone."""
    if path.is_dir():
        return {"bytes": None, "sha256": None, "records": sum(1 for f in path.rglob("*") if f.is_file())}
    return {"bytes": path.stat().st_size, "sha256": read_sha256(path), "records": _records(path)}


def _records(path: Path) -> int | None:
    """Files of an archive, records of a JSON file, lines of a text; None for other kinds."""
    if path.suffix == ".tar":
        with tarfile.open(path, "r:") as archive:
            return sum(member.isfile() for member in archive)
    if path.suffix in (".h5", ".hdf5"):
        return None
    content = read_bytes(path)
    if ".json" not in path.suffixes:
        return content.count(b"\n") + (not content.endswith(b"\n") and bool(content))
    document = json.loads(content)
    keys = [key for key in RECORD_KEYS if isinstance(document, dict) and key in document]
    return len(document[keys[0]] if keys else document)


def files_report(findings: Sequence[Finding]) -> list[str]:
    """The findings as lines for people, with the publishers of what is missing or damaged."""
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
    bad = [finding for finding in findings if finding.state != "ok"]
    for finding in bad:
        blocks = "" if finding.state == "differs" else f", blocks {finding.runs} runs"
        note = f" ({finding.note})" if finding.note else ""
        lines.append(f"{finding.path}: {finding.state}{note}{blocks}")
    published = dict.fromkeys((finding.dataset, finding.publisher) for finding in bad if finding.publisher)
    return lines + [f"{dataset} is published at {publisher}" for dataset, publisher in published]


def examine_splits(config: Config) -> list[str]:
    """A line per task of a real data set: its examples and the images that its splits share, or its error."""
    lines: dict[str, str] = {}
    for cell in config.cells:
        dataset = cell_form(config, cell)["dataset"]
        name = f"{cell.dataset} {cell.task}"
        needs = data_needs(config, cell)
        if not needs or name in lines or any(_absent(need) for need in needs):
            continue
        try:
            sources = read_examples(dataset, cell.task, Path())
        except UserError as error:
            lines[name] = f"{name}: {error}"
            continue
        counts = ", ".join(f"{split} {len(source.examples):,}" for split, source in sources.items())
        lines[name] = f"{name}: {counts}; images in two splits: {describe_overlap(image_overlap(sources))}"
    return list(lines.values())


def _absent(need: Need) -> bool:
    try:
        return need.found(amad_data()) is None
    except UserError:
        return True
