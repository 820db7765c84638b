"""The whole way, as `make run CONFIG=configs/smoke.yaml` goes it: from a config to the paper."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.slow

LOSS = "{name: amad, variant: kl}"


def _workspace(repository: Path, folder: Path) -> Path:
    for name in ("Snakefile", "configs", "profiles"):
        source = repository / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
        else:
            folder.mkdir(exist_ok=True)
            shutil.copy(source, folder / name)
    shutil.copytree(repository / "paper", folder / "paper", ignore=shutil.ignore_patterns("*.pdf"))
    return folder


def _snakemake(folder: Path, *arguments: str) -> str:
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--cores",
        "2",
        "--configfile",
        "configs/smoke.yaml",
        *arguments,
    ]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, env=dict(os.environ), check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def _jobs(output: str) -> set[str]:
    """Ids of the runs that a dry run would train."""
    return set(re.findall(r"output: results/runs/([^/]+)/ended", output))


def test_smoke_config_runs_to_the_paper_repeats_exactly_and_redoes_only_what_changed(repository, tmp_path):
    first = _workspace(repository, tmp_path / "first")
    said = _snakemake(first).splitlines()
    assert len(said) < 60
    assert said[-6:-2] == [
        "tables   results/tables/*.csv, *.parquet",
        "figures  results/figures/*.pdf, *.png, *.svg",
        "report   results/report.html",
        "paper    paper/main.pdf",
    ]
    tables = first / "results" / "tables"
    runs = pd.read_parquet(tables / "runs.parquet")
    assert (runs["status"] == "done").all()
    assert len(runs) == 15
    assert pd.read_parquet(tables / "failures.parquet").empty
    assert {"teacher", "ce", "amad_kl"} == set(pd.read_parquet(tables / "results.parquet")["loss"])
    assert (first / "paper" / "main.pdf").read_bytes().startswith(b"%PDF")
    report = (first / "results" / "report.html").read_text(encoding="utf-8")
    assert 'alt="Image of this test example"' in report
    for name in ("losses.pdf", "losses.png", "losses.svg", "head_gap.pdf"):
        assert (first / "results" / "figures" / name).stat().st_size > 500

    _snakemake(first, "--report", "sweep.html")
    sweep = (first / "sweep.html").read_text(encoding="utf-8")
    title = "Distillation of attention across head counts"
    for name in ("losses.svg", "comparisons.csv", "report.html", title):
        assert name in sweep
    assert not re.search(r"<(?:script|link|img)[^>]* (?:src|href)=.https?:", sweep)

    assert "Nothing to be done" in _snakemake(first, "-n")

    config = first / "configs" / "smoke.yaml"
    config.write_text(config.read_text().replace(LOSS, "{name: amad, variant: kl, temperature: 2.0}"))
    redone = _jobs(_snakemake(first, "-n", "--logger-amad-bench-off"))
    assert len(redone) == 6
    assert all("-amad_kl-" in run for run in redone)

    second = _workspace(repository, tmp_path / "second")
    _snakemake(second)
    assert (tables / "scores.parquet").read_bytes() == (
        second / "results" / "tables" / "scores.parquet"
    ).read_bytes()

    config = second / "configs" / "smoke.yaml"
    config.write_text(config.read_text().replace("name: smoke\n", "name: smoke\nseed: 1\n"))
    _snakemake(second, "--until", "collect")
    other = pd.read_parquet(second / "results" / "tables" / "scores.parquet")
    same = pd.read_parquet(tables / "scores.parquet")
    assert not set(other["run_id"]) & set(same["run_id"])
    assert not other["value"].equals(same["value"])
