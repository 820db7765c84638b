"""Questions without answers, answered by trained runs: what the run itself predicted for its test split."""

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from amad_bench.cli import main
from amad_bench.models.blip.model import BlipAnswerer
from amad_bench.plan.config.training import Decoding
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.run_folder.predictions import read_predictions
from amad_bench.training.predict_questions import predict_questions
from amad_bench.training.run import train_run
from tests.training.conftest import pick, retrained, run_dir


def _trained(tiny_plan, family, **decoding):
    run = retrained(pick(tiny_plan(), family, "vqa", "teacher"), steps=160, learning_rate=5e-3)
    wanted = Decoding(max_length=4, beams=1, **decoding)
    run = replace(run, config=run.config.model_copy(update={"decoding": wanted}))
    assert train_run(run, "cpu") == "done"
    return run


def _questions(folder):
    """The test split's questions alone, in a file of their own; its answers are gone."""
    (data,) = Path("results/data").glob("scenes-*")
    content = json.loads((data / "questions_test.json").read_text())
    path = folder / "questions.json"
    path.write_text(json.dumps(content))
    for annotations in data.glob("annotations_*.json"):
        annotations.unlink()
    return path, data / "images_test.tar"


def _predicted(run):
    rows = read_predictions(run_dir(run.id) / "predictions.jsonl")["test"]
    return {int(row.example_id): row.prediction for row in rows}


def _answers(path):
    return {record["question_id"]: record["answer"] for record in json.loads(path.read_text())}


@pytest.mark.parametrize("family", ["vlt5", "blip"])
def test_the_test_split_without_answers_is_answered_as_by_the_run(tiny_plan, tmp_path, capsys, family):
    run = _trained(tiny_plan, family)
    questions, photos = _questions(tmp_path)
    before = sorted(path for path in Path("results").rglob("*"))
    command = ["predict", run.id, "--questions", str(questions), "--photos", str(photos)]
    command += ["--out", "new/a.json"]
    assert main([*command, "--config", "tiny.yaml", "--device", "cpu"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "new/a.json: 24 answers"
    assert _answers(Path("new/a.json")) == _predicted(run)
    asked = [record["question_id"] for record in json.loads(questions.read_text())["questions"]]
    assert list(_answers(Path("new/a.json"))) == asked
    assert sorted(path for path in Path("results").rglob("*")) == before
    assert len(set(_predicted(run).values())) > 1


def test_photos_of_other_names_and_ranked_answers(tiny_plan, tmp_path):
    """A folder of photos as COCO calls those of its test split; the run chooses among training answers."""
    run = _trained(tiny_plan, "blip", rank=3)
    questions, photos = _questions(tmp_path)
    folder = tmp_path / "test2015"
    folder.mkdir()
    with tarfile.open(photos) as archive:
        for member in archive:
            name = f"COCO_test2015_{int(member.name.partition('.')[0]):012d}.png"
            (folder / name).write_bytes(archive.extractfile(member).read())
    assert predict_questions(run, questions, folder, tmp_path / "a.json", "cpu") == 24
    assert _answers(tmp_path / "a.json") == _predicted(run)


def test_other_photos_are_other_photos_even_under_the_same_names(tiny_plan, tmp_path, monkeypatch):
    """The data set's prepared images are not taken for them: white photos are seen white."""
    run = _trained(tiny_plan, "blip")
    questions, photos = _questions(tmp_path)
    white = tmp_path / "white"
    white.mkdir()
    content = io.BytesIO()
    Image.new("RGB", (64, 64), "white").save(content, "PNG")
    with tarfile.open(photos) as archive:
        for member in archive:
            (white / member.name).write_bytes(content.getvalue())
    seen, generate = [], BlipAnswerer.generate
    monkeypatch.setattr(
        BlipAnswerer,
        "generate",
        lambda self, pixel_values, **more: seen.append(pixel_values) or generate(self, pixel_values, **more),
    )
    predict_questions(run, questions, white, tmp_path / "b.json", "cpu")
    assert sum(map(len, seen)) == 24
    assert all((pixels == 1).all() for pixels in seen)


def test_what_cannot_be_answered_is_one_line(tiny_plan, tmp_path, capsys):
    run = _trained(tiny_plan, "blip")
    questions, photos = _questions(tmp_path)

    def refused(*, run_id=run.id, file=questions, base=photos, out="a.json", more=()):
        given = ["--questions", str(file), "--photos", str(base), "--out", out, *more]
        assert main(["predict", run_id, *given, "--config", "tiny.yaml", "--device", "cpu"]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith("amad-bench: error: ")
        assert not Path("a.json").exists()
        return error

    assert "no.json: no such file; put it there" in refused(file="no.json")
    assert "nowhere.tar: no such file, and nowhere is no folder" in refused(base="nowhere")
    assert "its inputs are pixels; give --features where they are" in refused(more=["--features", "f.h5"])
    other = pick(tiny_plan(), "vlt5", "vqa", "ce")
    assert f"run `amad-bench run --run {other.id}` first" in refused(run_id=other.id)
    (tmp_path / "empty").mkdir()
    assert "question_id 300000000: one photo in" in refused(base="empty")
    Path("there.json").write_text("[]")
    assert "there.json: it exists, and nothing is overwritten" in refused(out="there.json")
    long = tmp_path / "long.json"
    record = {"question_id": 300000000, "image_id": 30000000, "question": "red " * 70}
    long.write_text(json.dumps({"questions": [record]}))
    assert "question_id 300000000 has 72 tokens, the model reads at most 64; shorten it" in refused(file=long)


def test_a_run_of_another_task_is_one_line(tiny_plan, tmp_path):
    run = pick(tiny_plan(), "vlt5", "translation", "teacher")
    assert train_run(run, "cpu") == "done"
    with pytest.raises(UserError, match=r"a run for translation answers no questions; name one for vqa"):
        predict_questions(run, tmp_path / "q.json", tmp_path, tmp_path / "a.json", "cpu")
