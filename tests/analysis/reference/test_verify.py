"""amad-bench verify: written, equal on the same machine, compared on another, refused where it cannot be."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from amad_bench.cli import main
from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import expand
from amad_bench.plan.plan import Plan
from tests.analysis.conftest import make_raw, make_scores, write_run

REFERENCE = "reference/tiny"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a config, its results and a reference of them."""
    folder = tmp_path_factory.mktemp("verify")
    raw = make_raw((("vlt5", "vqa"),), ("ce", "amad_kl"), seeds=5)
    (folder / "config.yaml").write_text(yaml.safe_dump(raw))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for run in plan_of(folder).runs:
            write_run(folder / "results", run)
        remake()
        assert main(["verify", "--config", "config.yaml", "--write", REFERENCE]) == 0
    return folder


@pytest.fixture
def here(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A copy of it, as the working directory; its plan."""
    shutil.copytree(home, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return plan_of(tmp_path)


def plan_of(folder: Path) -> Plan:
    return expand(load_config(folder / "config.yaml"))


def remake() -> None:
    assert main(["collect", "--config", "config.yaml"]) == 0
    assert main(["compare", "--config", "config.yaml"]) == 0


def verify(capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str]]:
    capsys.readouterr()
    code = main(["verify", "--reference", REFERENCE])  # its config is the reference's
    captured = capsys.readouterr()
    return code, (captured.out + captured.err).splitlines()


def change(plan: Plan, shift: float = 0.0, **provenance: Any) -> None:
    """Every run made again on another machine. shift: of the AMAD students' test scores."""
    for number, run in enumerate(plan.runs):
        write_run(Path("results"), run)
        path = Path("results/runs", run.id, "run.json")
        record = json.loads(path.read_text())
        path.write_text(json.dumps(record | {"provenance": record["provenance"] | provenance}))
        scores = make_scores(run)
        own = shift if run.config.loss.name == "amad" else 0.0
        scores["value"] = scores["value"] + own + 0.004 * (number % 3 - 1)
        scores.to_parquet(path.with_name("scores.parquet"), index=False)
    remake()


def test_what_is_written(here: Plan) -> None:
    stamp = json.loads(Path(REFERENCE, "stamp.json").read_text())
    assert stamp["schema"] == 1
    assert (stamp["name"], stamp["config"], stamp["plan"]) == ("tiny", "config.yaml", here.hash)
    assert stamp["commit"] == "a" * 40
    assert [machine["cpu"] for machine in stamp["machines"]] == ["a processor"]
    assert stamp["versions"]["loss:amad"] == here.runs[-1].config.versions["loss:amad"]
    for name, columns in stamp["columns"].items():
        assert list(pd.read_csv(Path(REFERENCE, f"{name}.csv"), nrows=0).columns) == columns
    means = pd.read_csv(Path(REFERENCE, "means.csv")).query("metric == 'vqa_accuracy'")
    results = pd.read_csv("results/tables/results.csv").query("subset == 'all' and metric == 'vqa_accuracy'")
    assert means["mean"].tolist() == pytest.approx(results["mean"].tolist())
    assert means["loss"].tolist() == ["teacher", "ce", "amad_kl"]
    by_seed = [
        100 * make_scores(run).query("split == 'test' and metric == 'vqa_accuracy'")["value"].mean()
        for run in here.runs
        if run.config.loss.label == "ce" and run.kind == "student"
    ]
    assert means["var_seeds"].iloc[1] == pytest.approx(pd.Series(by_seed).var() / 5)
    assert "12 runs" not in Path(REFERENCE, "README.md").read_text()
    assert f"({len(here.runs)} runs, 0 without result)" in Path(REFERENCE, "README.md").read_text()


@pytest.mark.trap("stat-63")
def test_the_same_machine_has_to_have_equal_tables(here: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    code, lines = verify(capsys)
    assert code == 0
    assert lines[1] == "the same kind of machine, threads and versions: all tables have to be equal"
    assert lines[2].endswith("tables are equal")
    change(here)
    code, lines = verify(capsys)
    assert code == 1
    assert any(line.startswith("results, vlt5 vqa scenes 8 2 ce vqa_accuracy") for line in lines)


@pytest.mark.trap("stat-63")
def test_times_and_places_may_differ_on_the_same_machine(
    here: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    for run in here.runs:
        path = Path("results/runs", run.id, "status.json")
        path.write_text(json.dumps(json.loads(path.read_text()) | {"wall_seconds": 7.0}))
        path = path.with_name("run.json")
        record = json.loads(path.read_text())
        record["provenance"] |= {"commit": "b" * 40, "platform": "another kernel"}
        path.write_text(json.dumps(record))
    remake()
    assert verify(capsys)[0] == 0


def test_another_machine_may_differ_by_chance(here: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    change(here, cpu="another processor")
    code, lines = verify(capsys)
    assert code == 0
    assert lines[1] == "another machine than the reference's: cpu a processor there, another processor here"
    assert lines[2].startswith("6 means: ")
    assert any(line.startswith("not testable: vlt5 vqa scenes 8 -> 2 none none") for line in lines)  # teacher
    assert not any(line.startswith("different") for line in lines)


def test_a_real_shift_ends_with_1(here: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    change(here, shift=0.3, cpu="another processor")
    code, lines = verify(capsys)
    assert code == 1
    (line,) = [line for line in lines if line.startswith("different") and "vqa_accuracy on" in line]
    assert "amad_kl: vqa_accuracy on test" in line
    assert "difference +29.9" in line
    assert line.endswith("after Holm")


def test_a_mean_that_is_gone_is_a_difference(here: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    change(here, cpu="another processor")
    for run in here.runs:
        if run.config.loss.name == "amad":
            shutil.rmtree(Path("results/runs", run.id))
            write_run(Path("results"), run, status="diverged", reason="loss is NaN")
    remake()
    code, lines = verify(capsys)
    assert code == 1
    assert any("no score on one side" in line and "no score here (5 and 0 runs)" in line for line in lines)


def error(capsys: pytest.CaptureFixture[str]) -> str:
    code, lines = verify(capsys)
    assert code == 2
    assert len(lines) == 1
    return lines[0]


def test_a_reference_that_cannot_be_read_is_one_line(here: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    assert here
    stamp, means = Path(REFERENCE, "stamp.json"), Path(REFERENCE, "means.csv")
    text, rows = stamp.read_text(), means.read_text()
    stamp.write_text(json.dumps(json.loads(text) | {"schema": 0}))
    assert "stamp.json: its schema is 0, 1 was expected; make the reference again" in error(capsys)
    stamp.write_text(json.dumps({"config": "config.yaml"}))
    assert "its schema is None, 1 was expected" in error(capsys)
    stamp.write_text("{")
    assert "broken JSON" in error(capsys)
    stamp.write_text(text)
    means.write_text(rows.replace("var_seeds", "variance"))
    assert "means.csv: of another schema" in error(capsys)
    means.unlink()
    assert "means.csv: no such file" in error(capsys)
    means.write_text(rows)
    Path(REFERENCE, "runs.csv").unlink()
    assert "runs.csv: no such table" in error(capsys)
    shutil.rmtree(REFERENCE)
    assert f"{REFERENCE}: no such folder" in error(capsys)


def test_a_damaged_reference_does_not_pass(here: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    stamp, means, results, runs = (
        Path(REFERENCE, name) for name in ("stamp.json", "means.csv", "results.csv", "runs.csv")
    )
    texts = {path: path.read_text() for path in (stamp, means, results, runs)}
    change(here, cpu="another processor")

    def refused(path: Path, text: str) -> str:
        path.write_text(text)
        line = error(capsys)
        path.write_text(texts[path])
        return line

    def without(path: Path, column: str) -> str:
        return pd.read_csv(path, dtype="str").drop(columns=column).to_csv(index=False)

    for changed in ({"versions": 3}, {"commit": None}, {"columns": {}}):
        text = json.dumps(json.loads(texts[stamp]) | changed)
        assert "stamp.json: not as it is written" in refused(stamp, text)
    assert "results.csv: its columns are not those in stamp.json" in refused(
        results, without(results, "mean")
    )
    assert "runs.csv: its columns are not those" in refused(runs, without(runs, "run_id"))
    head, row, *rows = texts[means].splitlines(keepends=True)
    assert "with other runs or means; restore it" in refused(means, "".join([head, *rows]))
    assert "means.csv: a mean stands twice" in refused(means, "".join([head, row, row, *rows]))
    value = str(pd.read_csv(means)["mean"][0])
    assert "no readable table of means" in refused(means, texts[means].replace(value, "high", 1))
    head, _, *rows = texts[runs].splitlines(keepends=True)
    assert "with other runs or means; restore it" in refused(runs, "".join([head, *rows]))
    assert verify(capsys)[0] == 0


def test_todays_reference_is_of_an_older_schema(
    here: Plan, repository: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert here
    assert main(["verify", "--reference", str(repository / "results/reference/methods")]) == 2
    assert "its schema is None, 1 was expected" in capsys.readouterr().err


def test_an_incomplete_run_is_neither_verified_nor_a_reference(
    here: Plan, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(Path("results/runs", here.runs[-1].id))
    remake()
    assert "1 of 11 runs have not ended" in error(capsys)
    assert main(["verify", "--config", "config.yaml", "--write", "new"]) == 2
    assert "1 of 11 runs have not ended" in capsys.readouterr().err
    assert not Path("new").exists()


@pytest.mark.parametrize(
    ("provenance", "what"),
    [({"dirty": True}, "a changed working tree"), ({"commit": "b" * 40}, "2 commits")],
)
def test_a_reference_is_of_one_clean_commit(
    here: Plan, capsys: pytest.CaptureFixture[str], provenance: dict[str, Any], what: str
) -> None:
    path = Path("results/runs", here.runs[0].id, "run.json")
    record = json.loads(path.read_text())
    path.write_text(json.dumps(record | {"provenance": record["provenance"] | provenance}))
    remake()
    assert main(["verify", "--config", "config.yaml", "--write", "new"]) == 2
    assert f"the runs are of {what}; a reference is of one commit" in capsys.readouterr().err


def test_nothing_is_overwritten(here: Plan, capsys: pytest.CaptureFixture[str]) -> None:
    assert here
    assert main(["verify", "--config", "config.yaml", "--write", REFERENCE]) == 2
    assert f"{REFERENCE}: it exists" in capsys.readouterr().err
