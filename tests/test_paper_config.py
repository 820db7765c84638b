"""configs/paper.yaml: complete, and its whole training path on tiny stand-ins in the published formats."""

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml
from safetensors.torch import load_file

from amad_bench.plan.catalogue import DATASETS, FAMILIES, LOSSES
from amad_bench.plan.config.load import load_config
from amad_bench.plan.config.schema import Config
from tests.conftest import REPOSITORY
from tests.paper_runs import check_columns, check_ranked_answers, check_start
from tests.standins import LABELS, PAPER, keys, paper, tiny, unwritten

MODELS = 8  # folders and files below models/
FILES = 37  # all that the config needs


# ---- the file


def test_nothing_is_left_to_a_default():
    """Every key of the schema is written whose default is a value, and every option of losses and data sets.

    Left out are keys that default to nothing (None, {}), and `inherit_heads`, which says how `cut: inherit`
    takes heads and is refused beside another cut. Keys that stand for such a nothing, but would fall back on
    another key of the file (heads, checkpoints, image_size), are written too.
    """
    config = load_config(PAPER)
    assert list(unwritten(config, "")) == []
    for name, dataset in config.datasets.items():
        assert set(dataset.given) == set(DATASETS[name].options)
    for loss in config.losses:
        assert set(loss.given) == set(LOSSES[loss.name].options)
    for name, entry in config.models.items():
        assert set(entry.given) == set(FAMILIES[name].options)
        for size in (entry.teacher, *entry.student_sizes.values()):
            assert size.heads
            assert set(size.checkpoints) == {"text", "vl"}
    assert config.models["vlt5"].options("vlt5") == {"order_embedding": True, "box_area": "official"}
    assert all((entry.image_size is not None) == (entry.family == "blip") for entry in config.tasks)
    assert [entry.decoding.rank for entry in config.tasks] == [None, None, None, 128, None]


def test_the_search_for_defaults_finds_them():
    raw = paper()
    del raw["seed"], raw["models"]["blip"]["inputs"]["colours"], raw["tasks"][0]["teacher"]["schedule"]
    found = set(unwritten(Config.model_validate(raw), ""))
    schedules = {".tasks.0.teacher.schedule", ".tasks.0.student.schedule"}  # an alias
    assert found == {".seed", ".models.blip.inputs.colours", *schedules}


@pytest.mark.trap("train-7")
def test_steps_are_the_published_epochs():
    """Training examples: VQA v2 and COCO on Karpathy's split (train and restval), Multi30K."""
    published = {
        ("vlt5", "vqa"): (20, 605_102, 4 * 80),
        ("vlt5", "captioning"): (20, 566_747, 4 * 80),
        ("vlt5", "translation"): (40, 29_000, 4 * 30),
        ("blip", "vqa"): (10, 605_102, 256),
        ("blip", "captioning"): (5, 566_747, 256),
    }
    for entry in load_config(PAPER).tasks:
        epochs, examples, batch = published.pop((entry.family, entry.task))
        assert entry.teacher == entry.student
        assert (entry.teacher.steps, entry.teacher.batch) == (math.ceil(epochs * examples / batch), batch)
    assert not published


# ---- plan and doctor


def test_without_data_each_missing_thing_is_one_line_with_its_publisher(command, tmp_path):
    code, out, err = command(tmp_path, PAPER, "doctor")
    assert code == 2
    assert err.endswith(f"paper.yaml: {FILES} of {FILES} files are not as needed (missing)\n")
    lines = [line for line in out.splitlines() if ": missing, blocks " in line]
    paths = [line.split(": ")[0] for line in lines]
    assert len(paths) == len(set(paths)) == FILES
    assert sum(path.startswith("models/") for path in paths) == MODELS - 1
    assert all("; source: https://" in line for line in lines)

    code, out, err = command(tmp_path, PAPER, "plan")
    assert (code, err) == (0, "")
    reason, _, counted, _, head, *_ = out.splitlines()
    assert reason.startswith("paper: the plan has no students, since everything is skipped: missing below")
    assert counted == "With its data, paper: 1868 runs (5 teachers, 1863 students)"
    assert head.split() == ["setting", "teacher", *(loss.shown_label for loss in load_config(PAPER).losses)]


def test_with_data_every_run_can_be_planned(command, published):
    """Students: 3 conditions, 9 losses, 3 replicates; of VL-T5 1 + 4 in 3 tasks, of BLIP 4 in 2 tasks."""
    code, out, _ = command(published, PAPER, "plan", "--json")
    plan = json.loads(out)
    assert (code, plan["skipped"]) == (0, [])
    kinds = [run["kind"] for run in plan["runs"]]
    assert kinds.count("teacher") == len(load_config(PAPER).tasks) == 5
    assert kinds.count("student") == len(kinds) - 5 == 3 * 9 * 3 * (5 * 3 + 4 * 2)
    for run in plan["runs"]:
        config = run["config"]
        assert (config["start"] is None) == (config["pretraining"] == "none")
        assert config["start"] is None or config["start"]["checkpoints"]  # none is trained here
    shapes = {
        (c["family"], m["layers"], m["width"], m["heads"])
        for c, m in ((run["config"], run["config"]["model"]) for run in plan["runs"])
    }
    wide = {(family, 12, 768, heads) for family in ("vlt5", "blip") for heads in (12, 8, 6, 4)}
    assert shapes == wide | {("vlt5", 6, 512, 8)}


def test_complete_data_satisfy_the_doctor(command, published, tmp_path):
    shutil.rmtree("configs")  # what is published has other sizes
    code, out, err = command(published, _tiny_config(tmp_path), "doctor")
    assert (code, err) == (0, "")
    _, *others = out.splitlines()
    nothing, vqa, captions, sentences, *weights = others[FILES:]
    assert nothing.startswith("configs/data: not found here")
    assert vqa.startswith("vqa_v2 vqa: train 9, validation 3, test 3;")
    assert captions.startswith("coco captioning: train 3, validation 1, test 1;")
    assert "test 2, test_2017_flickr 2, test_2018_flickr 1;" in sentences
    assert [line.split(": ")[1] for line in weights] == [
        "models/vl-t5/Epoch30.pth",
        "models/t5-small",
        "models/t5-base",
        "models/blip-base/captioning, models/blip-base/vqa",
        "models/bert-base-uncased, models/vit-base-patch16-224",
        "models/blip-base/captioning, models/blip-base/vqa",
        "models/bert-base-uncased, models/vit-base-patch16-224",
    ]
    heads = [line.split(": heads by ")[1].split(";")[0] for line in weights]
    assert heads[1] == "the bias tables: encoder.self, decoder.self, decoder.cross: 8 of 2 channels"
    assert heads[3].startswith("vqa/config.json: text.self, text.cross, decoder.self, ")


def test_weights_that_are_missing_leave_out_only_what_starts_from_them(command, published, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(published, data)
    shutil.rmtree(data / "models/t5-small")
    code, out, _ = command(data, PAPER, "plan")
    assert code == 0
    assert "paper: 1787 runs (5 teachers, 1782 students)" in out  # 3 tasks x 9 losses x 3 replicates fewer
    skipped = [line.split(": ")[0].strip() for line in out.splitlines() if "below AMAD_DATA: models/" in line]
    assert skipped == [
        "vlt5-vqa-vqa_v2-h12to8-small-text",
        "vlt5-captioning-coco-h12to8-small-text",
        "vlt5-translation-multi30k-h12to8-small-text",
    ]
    code, out, _ = command(data, PAPER, "doctor")
    assert code == 2
    assert [line for line in out.splitlines() if ": missing" in line] == [
        "models/t5-small: missing, blocks 81 runs: vlt5 vqa vqa_v2, vlt5 captioning coco, vlt5 translation "
        "multi30k; source: https://huggingface.co/google-t5/t5-small"
    ]


def _tiny_config(folder: Path) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(tiny(paper()), sort_keys=False), encoding="utf-8")
    return path


def test_damaged_weights_are_named_once_with_the_tasks_that_need_them(command, published, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(published, data)
    (data / "models/t5-base/model.safetensors").unlink()  # the tokenizer is still there
    checkpoint = data / "models/vl-t5/Epoch30.pth"
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    shutil.rmtree(data / "models/blip-base/vqa")
    shutil.copytree(data / "models/blip-base/captioning", data / "models/blip-base/vqa")
    shutil.rmtree("configs")
    code, out, err = command(data, _tiny_config(tmp_path), "doctor")
    assert code == 2
    assert err.endswith("tiny.yaml: 4 errors in what they hold\n")
    names = ("models/t5-base", "models/vl-t5", "blip vqa", "blip captioning")
    lines = [
        line for line in out.splitlines() if line.startswith(("vlt5 ", "blip ")) and "heads by" not in line
    ]
    text, vl, vqa, captions = (next(line for line in lines if name in line) for name in names)
    of_vlt5 = "vlt5 vqa vqa_v2, vlt5 captioning coco, vlt5 translation multi30k: "
    assert text.startswith(f"{of_vlt5}{data / 'models/t5-base'}: no weights; expected model.safetensors or ")
    assert vl.startswith(f"{of_vlt5}{checkpoint}: ")
    assert vqa.startswith("blip vqa vqa_v2: ")
    assert "exactly one folder of BLIP for vqa was expected" in vqa
    assert vqa.endswith("architectures: ['BlipForQuestionAnswering']; found 0")
    assert captions.startswith("blip captioning coco: ")
    assert captions.endswith("found 2")


@pytest.mark.slow
def test_snakemake_plans_every_job(published, tmp_path):
    for name in ("Snakefile", "configs", "profiles"):
        (shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy)(REPOSITORY / name, tmp_path / name)
    (tmp_path / "paper").mkdir()
    (tmp_path / "paper/main.typ").touch()
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "-n", "--quiet", "rules", "--configfile", "configs/paper.yaml"],
        cwd=tmp_path,
        env={**os.environ, "AMAD_DATA": str(published)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    counts = dict(line.split() for line in done.stdout.splitlines() if len(line.split()) == 2)
    assert {name: counts[name] for name in ("prepare", "teacher", "student", "extra_scores", "paper")} == {
        "prepare": "5",
        "teacher": "5",
        "student": "1863",
        "extra_scores": "1",
        "paper": "1",
    }


# ---- the whole training path


@pytest.mark.slow
def test_the_whole_path_on_stand_ins(command, published, tmp_path):
    """As with the real data, photos are decoded, and a teacher runs, for each batch anew."""
    path = _tiny_config(tmp_path)
    changed = {
        "teacher_outputs: auto": "teacher_outputs: online",
        "keep_weights: teachers": "keep_weights: all",
        "image_cache_gb: 40": "image_cache_gb: 0",
    }
    for before, now in changed.items():
        path.write_text(path.read_text().replace(before, now))
        assert now in path.read_text()
    assert keys(tiny(paper())) == keys(paper())
    with_worker = tmp_path / "with_worker.yaml"
    with_worker.write_text(path.read_text().replace("workers: 0", "workers: 1"))
    shutil.rmtree("configs")
    shutil.copytree(REPOSITORY / "paper", "paper", ignore=shutil.ignore_patterns("*.pdf"))

    def succeed(*arguments: str, config: Path = path) -> str:
        code, out, err = command(published, config, *arguments)
        assert code == 0, err
        return out

    plan = json.loads(succeed("plan", "--json"))
    assert plan["skipped"] == []
    assert len(plan["runs"]) == 5 + 3 * len(LABELS) * (3 * 3 + 2 * 2)
    succeed("data")
    for run in plan["runs"]:
        config = with_worker if run["kind"] == "teacher" else path
        assert f"{run['id']}: done\n" in succeed("run", "--run", run["id"], config=config)
    for name in ("collect", "compare", "figures", "paper"):
        succeed(name)
    assert Path("paper/main.pdf").read_bytes().startswith(b"%PDF")

    assert len(pd.read_csv("results/tables/failures.csv")) == 0
    runs = pd.read_csv("results/tables/runs.csv").to_dict("records")
    ids = {run["id"] for run in plan["runs"]}
    assert {run["run_id"] for run in runs} == ids
    assert {run["status"] for run in runs} == {"done"}
    check_columns(runs)
    check_ranked_answers(runs)
    scores = pd.read_parquet("results/tables/scores.parquet")
    assert set(scores[scores["split"] == "test"]["run_id"]) == ids
    results = pd.read_csv("results/tables/results.csv").to_dict("records")
    assert not any(math.isnan(row["mean"]) for row in results)
    axes = ("family", "task", "student_heads", "student_shape", "pretraining", "loss")
    assert len({tuple(row[axis] for axis in axes) for row in results}) == 13 * 3 * (1 + len(LABELS))
    for run in plan["runs"]:
        weights = load_file(f"results/runs/{run['id']}/model.safetensors")
        check_start(run["config"], weights, published / "models")
