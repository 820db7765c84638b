"""Blocks with images and teachers of their own, from the config to the tables: two tiny ones are trained."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml

from amad_bench.cli import main
from amad_bench.data.scenes.english import make_questions
from amad_bench.data.scenes.scene import image_id_of, make_scene, scene_generator
from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import expand
from amad_bench.plan.run import Run
from tests.planned import small_config

CONFIG = "blocks.yaml"
SPLITS = {"train": 12, "validation": 4, "test": 6}
LOSSES = [{"name": "ce"}, {"name": "amad", "variant": "kl"}]


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Run]:
    """The plan; its config lies in the working folder."""
    monkeypatch.chdir(tmp_path)
    images = {f"{split}_images": count for split, count in SPLITS.items()}
    raw = small_config("vlt5", "vqa", condition="vl", **images).model_dump(mode="json", exclude_unset=True)
    raw |= {"teacher_per": "block", "scenes_per": "block", "losses": LOSSES}
    raw |= {"heads": {"teacher": [4], "student": [1, 2]}, "sites": {"vlt5": ["encoder.self"]}}
    Path(CONFIG).write_text(yaml.safe_dump(raw))
    return expand(load_config(CONFIG)).runs


def trained(run: Run) -> int:
    return main(["run", "--config", CONFIG, "--run", run.id])


def drawn_answers(seed: int) -> dict[str, str]:
    """Answers of the test questions, drawn again without the files."""
    return {
        str(image_id_of("test", index) * 10 + number): question.answer
        for index in range(SPLITS["test"])
        for number, question in enumerate(
            make_questions(make_scene(seed, "test", index).objects, scene_generator(seed, "test", index, 1))
        )
    }


@pytest.mark.slow
def test_a_block_is_trained_and_tested_on_its_own_images_by_its_own_teacher(runs: list[Run], capsys) -> None:
    blocks = {run.config.block.student_heads: run.config.block for run in runs}
    by_block = {heads: [run for run in runs if run.config.block == block] for heads, block in blocks.items()}
    for own in by_block.values():
        assert [run.kind for run in own] == ["pretrain", "pretrain", "teacher", "student", "student"]
    seeds = {heads: own[0].config.dataset.options["seed"] for heads, own in by_block.items()}
    answers = {heads: drawn_answers(seed) for heads, seed in seeds.items()}
    assert answers[1] != answers[2]
    weights = []
    for heads, own in by_block.items():  # nothing of the other block is needed
        for key in dict.fromkeys(run.data_key for run in own):
            assert main(["data", "--config", CONFIG, "--key", key]) == 0
        for run in own:
            assert trained(run) == 0, run.id
        _, _, teacher, *students = own
        weights.append((Path("results/runs") / teacher.id / "model.safetensors").read_bytes())
        for run in (teacher, *students):
            lines = Path(f"results/runs/{run.id}/predictions.jsonl").read_text().splitlines()
            tested = [row for row in map(json.loads, lines) if row["split"] == "test"]
            assert {row["example_id"]: row["references"][0] for row in tested} == answers[heads]
    assert weights[0] != weights[1]

    for command in ("collect", "compare"):
        assert main([command, "--config", CONFIG]) == 0
    tables = {name: pd.read_parquet(f"results/tables/{name}.parquet") for name in ("results", "scores")}
    shown = tables["results"].query("primary").set_index(["student_heads", "loss"])
    scores = tables["scores"].query("metric == 'vqa_accuracy' and split == 'test'")
    means = scores.groupby("run_id")["value"].mean() * 100
    for heads, (_, _, *own) in by_block.items():
        for run in own:
            label = "teacher" if run.kind == "teacher" else run.config.loss.label
            assert shown.loc[(heads, label), "mean"] == pytest.approx(means[run.id])
            assert shown.loc[(heads, label), "n_examples"] == len(answers[heads])

    capsys.readouterr()
    *_, student = by_block[1]
    for run_id in (student.id, student.teacher_id):
        shutil.rmtree(Path("results/runs") / run_id)
    assert trained(student) == 2
    assert student.teacher_id in capsys.readouterr().err  # that of the other block does not do
