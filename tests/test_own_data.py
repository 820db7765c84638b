"""Data of one's own: the example of docs/data.md runs as printed, and each layout from a config to scores."""

import json
import re
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from amad_bench.cli import main
from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import expand


@pytest.fixture
def example(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Its commands, in a working directory with its files and its config."""
    page = (repository / "docs/data.md").read_text(encoding="utf-8")
    section = page.split("\n## Your own data\n")[1].split("\n## ")[0]
    blocks = dict(re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL))
    assert set(blocks) == {"python", "yaml", "sh"}
    data, work = tmp_path / "data", tmp_path / "work"
    data.mkdir()
    monkeypatch.chdir(data)
    exec(blocks["python"], {})
    shutil.copytree(repository / "paper", work / "paper", ignore=shutil.ignore_patterns("*.pdf"))
    monkeypatch.chdir(work)
    monkeypatch.setenv("AMAD_DATA", str(data))
    Path("mine.yaml").write_text(blocks["yaml"])
    return blocks["sh"].splitlines()


def test_the_example_of_the_page_is_found_planned_and_trained(example: list[str], capsys) -> None:
    *commands, workflow = example
    for command in commands:
        program, *arguments = command.split()
        assert program == "amad-bench"
        assert main(arguments) == 0, command
    assert workflow == "snakemake --cores all --configfile mine.yaml"
    out, err = capsys.readouterr()
    assert err == ""
    (counts,) = re.findall(
        r"mine vqa: train (\d+), validation (\d+), test 12; images in two splits: none", out
    )
    assert sum(map(int, counts)) == 40
    assert int(counts[1]) > 0
    findings = [line.split() for line in out.splitlines() if line.startswith("mine/")]
    assert [(path, state) for path, state, *_ in findings] == [
        ("mine/questions_train.json", "ok"),
        ("mine/annotations_train.json", "ok"),
        ("mine/questions_test.json", "ok"),
        ("mine/annotations_test.json", "ok"),
        ("mine/photos", "ok"),
    ]
    assert "mine: 3 runs (1 teachers, 2 students)" in out
    runs = expand(load_config("mine.yaml")).runs
    for run in runs:
        assert main(["run", "--config", "mine.yaml", "--run", run.id]) == 0
    scores = pd.read_parquet(Path("results/runs") / runs[-1].id / "scores.parquet")
    assert set(scores["metric"]) == {"exact_match"}
    assert sorted(scores["example_id"]) == [str(image) for image in range(40, 52)]


@pytest.mark.slow
@pytest.mark.usefixtures("example")
def test_tables_figures_and_paper_call_it_by_its_name() -> None:
    for run in expand(load_config("mine.yaml")).runs:
        assert main(["run", "--config", "mine.yaml", "--run", run.id]) == 0
    for command in ("score", "collect", "compare", "figures", "paper"):
        assert main([command, "--config", "mine.yaml"]) == 0
    results = pd.read_parquet("results/tables/results.parquet")
    assert set(results["dataset"]) == {"mine"}
    assert set(results["metric"]) == {"exact_match"}
    assert results["primary"].any()
    assert Path("paper/main.pdf").stat().st_size > 10_000
    assert Path("results/figures").is_dir()
    assert json.loads(pd.read_parquet("results/tables/runs.parquet")["dataset_options"][0])["format"] == "vqa"


@pytest.mark.usefixtures("example")
def test_changed_content_is_another_run_and_an_absent_file_is_named(capsys) -> None:
    config = load_config("mine.yaml")
    before = {run.id for run in expand(config).runs}
    questions = Path("../data/mine/questions_test.json")
    questions.write_text(questions.read_text().replace("which colour", "what colour"))
    assert before.isdisjoint(run.id for run in expand(config).runs)
    questions.unlink()
    shutil.rmtree("../data/mine/photos")
    assert main(["doctor", "--config", "mine.yaml"]) == 2
    out, err = capsys.readouterr()
    assert (
        "mine/questions_test.json: missing, blocks 3 runs: vlt5 vqa mine; source: named in the config" in out
    )
    assert "mine/photos: missing" in out
    assert err == "amad-bench: error: mine.yaml: 2 of 5 files are not as needed (missing)\n"


@pytest.mark.usefixtures("example")
def test_annotations_of_other_questions(capsys) -> None:
    raw = yaml.safe_load(Path("mine.yaml").read_text())
    files = raw["datasets"]["mine"]["files"]
    files["test"]["annotations"] = files["train"]["annotations"]
    Path("mine.yaml").write_text(yaml.safe_dump(raw))
    assert main(["doctor", "--config", "mine.yaml"]) == 2
    out, err = capsys.readouterr()
    assert "questions_test.json: question_id 40 has no annotation in" in out
    assert err.count("\n") == 1


@pytest.mark.usefixtures("example")
def test_the_same_files_in_train_and_test_are_reported(capsys) -> None:
    """Nothing is left to hold out for validation: it must be named."""
    raw = yaml.safe_load(Path("mine.yaml").read_text())
    files = raw["datasets"]["mine"]["files"]
    files["test"] = files["train"]
    files["validation"] = {key: path.replace("train", "test") for key, path in files["train"].items()}
    Path("mine.yaml").write_text(yaml.safe_dump(raw))
    assert main(["doctor", "--config", "mine.yaml"]) == 0
    assert "train 40, validation 12, test 40; images in two splits: train/test 40" in capsys.readouterr().out
    del files["validation"]
    Path("mine.yaml").write_text(yaml.safe_dump(raw))
    assert main(["doctor", "--config", "mine.yaml"]) == 2
    message = "questions_train.json: nothing is left to hold out for validation (too few images, or all in a"
    assert message in capsys.readouterr().out
