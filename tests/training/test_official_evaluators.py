"""Predictions written by the command, read back by the owners' evaluators: their scores are the run's."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from pycocoevalcap import eval as coco_eval
from pycocotools.coco import COCO
from sacrebleu.metrics.bleu import BLEU

from amad_bench.cli import main
from amad_bench.scoring.java import find_java
from amad_bench.training.run import train_run
from tests.training import conftest
from tests.training.conftest import pick, retrained, run_dir

CAPTIONS = (
    "  - {{family: vlt5, task: captioning, dataset: scenes, vocabulary: 200,\n"
    "     decoding: {{max_length: 8, beams: 1}}, teacher: *training, student: *training}}\n"
)


def _written(tiny_plan, task, folder, **changes):
    """A trained run's scores, the result file that the command wrote, and the data set's own files."""
    run = retrained(pick(tiny_plan(), "vlt5", task, "teacher"), **changes)
    assert train_run(run, "cpu") == "done"
    assert main(["predictions", run.id, folder, "--config", "tiny.yaml"]) == 0
    scores = pd.read_parquet(run_dir(run.id) / "scores.parquet")
    (written,) = Path(folder).iterdir()
    return scores[scores["split"] == "test"], written, next(Path("results/data").glob("scenes-*"))


class Vqa:
    """Reading part of the official evaluator (GT-Vision-Lab/VQA, PythonHelperTools/vqaTools/vqa.py).

    `loadRes` asserts that results are a list, each a question of the set, all questions answered; the
    evaluator (vqaEval.py) then compares `answer` of `question_id` with the ten answers.
    """

    def __init__(self, annotations: Path):
        records = json.loads(annotations.read_text())["annotations"]
        self.answers = {one["question_id"]: [a["answer"] for a in one["answers"]] for one in records}

    def accuracies(self, results: Path) -> dict[int, float]:
        found = json.loads(results.read_text())
        assert type(found) is list
        assert {one["question_id"] for one in found} == set(self.answers)
        assert all(set(one) == {"question_id", "answer"} for one in found)
        of = {one["question_id"]: one["answer"] for one in found}
        # ten equal answers of one word: neither leaving one out nor punctuation changes anything
        return {
            question: min(1.0, sum(of[question].strip() == a for a in given) / 3)
            for question, given in self.answers.items()
        }


def test_answers_score_the_same_by_the_vqa_evaluator(tiny_plan, capsys):
    scores, written, data = _written(tiny_plan, "vqa", "out", steps=80, learning_rate=1e-2)
    assert capsys.readouterr().out.splitlines()[-1] == "out/test.json"
    found = Vqa(data / "annotations_test.json").accuracies(written)
    own = scores[scores["metric"] == "vqa_accuracy"].set_index("example_id")["value"]
    assert found == {int(example): value for example, value in own.items()}
    assert 0 < sum(found.values()) < len(found)


class Unasked:
    """METEOR and SPICE in the evaluator: Java programs that take long, and no metrics of a run."""

    def method(self):
        return "unasked"

    def compute_score(self, gts, _res):
        return 0.0, [0.0] * len(gts)


def test_captions_score_the_same_by_cocos_evaluator(tiny_plan, monkeypatch):
    monkeypatch.setattr(conftest, "CONFIG", conftest.CONFIG + CAPTIONS)
    monkeypatch.setenv("PATH", str(Path(str(find_java())).parent), prepend=os.pathsep)  # of its tokenizer
    for name in ("Meteor", "Spice"):
        monkeypatch.setattr(coco_eval, name, Unasked)
    scores, written, data = _written(tiny_plan, "captioning", "out", steps=40, learning_rate=1e-2)
    coco = COCO(str(data / "captions_test.json"))
    evaluator = coco_eval.COCOEvalCap(coco, coco.loadRes(str(written)))
    evaluator.evaluate()
    for metric in ("CIDEr", "ROUGE_L"):
        own = scores[scores["metric"] == metric].set_index("example_id")["value"]
        by_image = {str(one["image_id"]): one[metric] for one in evaluator.evalImgs}
        assert own.to_dict() == pytest.approx(by_image, abs=1e-12)
        assert own.mean() == pytest.approx(evaluator.eval[metric], abs=1e-12)
    assert evaluator.eval["ROUGE_L"] > 0


def test_sentences_score_the_same_by_sacrebleu(tiny_plan):
    """Its command reads the file; the run's BLEU is that of its summed statistics."""
    scores, written, data = _written(tiny_plan, "translation", "out", steps=40, learning_rate=1e-2)
    command = [sys.executable, "-m", "sacrebleu", str(data / "translation" / "test.de"), "-i", str(written)]
    done = subprocess.run([*command, "-b", "-w", "9"], capture_output=True, text=True, check=True)
    own = scores[scores["metric"] == "BLEU"]
    assert len(own) == len(written.read_text().splitlines())
    length, references, *counts = (round(sum(column)) for column in zip(*own["statistics"], strict=True))
    expected = BLEU.compute_bleu(counts[:4], counts[4:], length, references, smooth_method="exp").score
    assert float(done.stdout) == pytest.approx(expected, abs=1e-8)
    assert expected > 0


def test_a_run_without_predictions_is_one_line(tiny_plan, capsys):
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    assert main(["predictions", run.id, "out", "--config", "tiny.yaml"]) == 2
    error = capsys.readouterr().err
    assert f"not trained; run `amad-bench run --run {run.id}` first" in error
    assert len(error.splitlines()) == 1
    assert not Path("out").exists()
