"""Exported models, loaded back by transformers' own classes or VLT5, against the run's own model."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoTokenizer
from transformers.models.blip.modeling_blip import BlipForConditionalGeneration, BlipForQuestionAnswering

from amad_bench.cli import main
from amad_bench.data.images.pixels import square_pixels
from amad_bench.data.tasks.batches import make_batch
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.models.vlt5.model import VLT5
from amad_bench.runtime.run_folder.predictions import read_predictions
from amad_bench.training.export import export_run
from amad_bench.training.run import train_run
from amad_bench.training.run_model import trained_model
from tests.training.conftest import pick, retrained, run_dir

CAPTIONS = (
    "  - {family: blip, task: captioning, dataset: scenes, vocabulary: 200,\n"
    "     decoding: {max_length: 6, beams: 2}, teacher: *training, student: *training}\n"
)
OWN = {"amad_bench.json", "README.md", "config.json", "model.safetensors", "generation_config.json"}
TOKENIZER = {"tokenizer.json", "tokenizer_config.json"}


def _exported(run, folder):
    """The run trained and exported: its data, its own model, its first test examples."""
    assert train_run(run, "cpu") == "done"
    export_run(run, folder)
    data = load_task_data(run.config)
    model = trained_model(run.config, data, run_dir(run.id) / "model.safetensors").eval()
    batch = make_batch(data.test, data.images, np.arange(6), "cpu")
    return data, model, batch


def _options(folder):
    return json.loads((folder / "amad_bench.json").read_text())["generation"]


def _same_tensors(one, other):
    own, back = one.state_dict(), other.state_dict()
    assert own.keys() == back.keys()
    assert all(torch.equal(own[name], back[name]) for name in own)


@pytest.mark.parametrize("condition", ["none", "vl"])
@pytest.mark.parametrize("task", ["vqa", "translation"])
def test_vlt5_is_loaded_back_bit_for_bit(tiny_plan, tmp_path, task, condition):
    """Translation has no image; after vl pre-training there are numbers of regions, tied to the words."""
    plan, folder = tiny_plan(condition=condition), tmp_path / "out"
    for run in plan.runs:
        if run.kind == "pretrain" and run.config.family == "vlt5":
            assert train_run(run, "cpu") == "done"
    _, model, batch = _exported(pick(plan, "vlt5", task, "teacher"), folder)
    back = VLT5.from_pretrained(folder).eval()
    assert {path.name for path in folder.iterdir()} == OWN | TOKENIZER
    _same_tensors(model, back)
    assert back.config.use_vis_order_embedding == (condition == "vl")
    if condition == "vl":
        assert back.encoder.visual_embedding.obj_order_embedding.weight is back.shared.weight
    with torch.no_grad():
        assert torch.equal(
            model(**batch.inputs, labels=batch.labels_BL).logits,
            back(**batch.inputs, labels=batch.labels_BL).logits,
        )
    options = _options(folder)
    assert torch.equal(model.generate(**batch.inputs, **options), back.generate(**batch.inputs, **options))


def test_a_captioner_is_blip_for_conditional_generation(tiny_plan, tmp_path, monkeypatch):
    monkeypatch.setattr("tests.training.conftest.CONFIG", _with_captions())
    run, folder = pick(tiny_plan(), "blip", "captioning", "ce"), tmp_path / "out"
    data, model, batch = _exported(run, folder)
    back = BlipForConditionalGeneration.from_pretrained(folder).eval()
    _same_tensors(model, back)
    pixels, prompt = batch.inputs["pixel_values"], batch.inputs["input_ids"]
    bos = torch.full((len(prompt), 1), data.tokenizer.bos)
    written = batch.labels_BL.masked_fill(batch.labels_BL == -100, data.tokenizer.pad)
    ids = torch.cat([bos, prompt, written[:, :-1]], dim=1)
    with torch.no_grad():
        expected = model(**batch.inputs, labels=batch.labels_BL).logits
        mask = torch.cat([torch.ones_like(bos).expand(-1, 1 + prompt.shape[1]), batch.target_BL[:, :-1]], 1)
        found = back(pixel_values=pixels, input_ids=ids, attention_mask=mask.long()).logits
    found = found[:, prompt.shape[1] :]
    target = batch.target_BL
    torch.testing.assert_close(found[target], expected[target], atol=1e-5, rtol=1e-5)
    options = _options(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    given = tokenizer(["a picture of"] * len(pixels), return_tensors="pt")
    assert given.input_ids[:, 1:-1].tolist() == prompt.tolist()
    own = model.generate(**batch.inputs, **options)
    stock = back.generate(pixel_values=pixels, **given, **options)
    assert stock[:, 1 + prompt.shape[1] :].tolist() == own.tolist()
    assert tokenizer.decode(own[0], skip_special_tokens=True).strip() == data.tokenizer.decode(own[0])


def _with_captions():
    from tests.training import conftest

    return conftest.CONFIG + CAPTIONS.replace("{", "{{").replace("}", "}}")


def _one_length(batch):
    """Rows of the batch whose questions have the same length, without padding."""
    lengths = batch.inputs["attention_mask"].sum(1)
    longest = int(lengths.mode().values)
    rows = lengths == longest
    assert rows.sum() > 1
    inputs = {name: tensor[rows] for name, tensor in batch.inputs.items()}
    return {**inputs, **{n: inputs[n][:, :longest] for n in ("input_ids", "attention_mask")}}, rows


def test_an_answerer_is_blip_for_question_answering(tiny_plan, tmp_path):
    run, folder = pick(tiny_plan(), "blip", "vqa", "teacher"), tmp_path / "out"
    data, model, _ = _exported(run, folder)
    back = BlipForQuestionAnswering.from_pretrained(folder).eval()
    _same_tensors(model, back)
    batch = make_batch(data.test, data.images, np.arange(24), "cpu")
    inputs, rows = _one_length(batch)
    labels = batch.labels_BL[rows]
    target = labels != -100
    bos = torch.full((len(labels), 1), data.tokenizer.bos)
    ids = torch.cat([bos, labels[:, :-1].masked_fill(labels[:, :-1] == -100, data.tokenizer.pad)], dim=1)
    logits = []
    handle = back.text_decoder.register_forward_hook(lambda _m, _a, out: logits.append(out.logits))
    with torch.no_grad():
        expected = model(**inputs, labels=labels).logits
        back(**inputs, decoder_input_ids=ids)
    handle.remove()
    torch.testing.assert_close(logits[0][target], expected[target], atol=1e-5, rtol=1e-5)
    options = _options(folder)
    own, stock = model.generate(**inputs, **options), back.generate(**inputs, **options)
    assert stock[:, 1:].tolist() == own.tolist()


def test_stock_blip_attends_to_the_padding_of_a_question_and_the_folder_says_so(tiny_plan, tmp_path):
    run, folder = pick(tiny_plan(), "blip", "vqa", "teacher"), tmp_path / "out"
    data, _, batch = _exported(run, folder)
    back = BlipForQuestionAnswering.from_pretrained(folder).eval()
    pixels = batch.inputs["pixel_values"][:1]
    question = batch.inputs["input_ids"][:1][:, batch.inputs["attention_mask"][0].bool()]
    padded = torch.nn.functional.pad(question, (0, 4), value=data.tokenizer.pad)
    bos = torch.full((1, 1), data.tokenizer.bos)
    seen = []
    back.text_decoder.register_forward_hook(lambda _m, _a, out: seen.append(out.logits))
    with torch.no_grad():
        for ids in (question, padded):
            mask = ids.ne(data.tokenizer.pad).long()
            back(pixel_values=pixels, input_ids=ids, attention_mask=mask, decoder_input_ids=bos)
    assert not torch.allclose(seen[0], seen[1], atol=1e-4)
    assert "does not read the mask of the question" in (folder / "README.md").read_text()


@pytest.mark.parametrize(("family", "text"), [("vlt5", "vqa: {}"), ("blip", "{}")])
def test_the_tokenizer_reads_what_the_run_read(tiny_plan, tmp_path, family, text):
    """Also a text that spells a special token."""
    run, folder = pick(tiny_plan(), family, "vqa", "ce"), tmp_path / "out"
    data, _, _ = _exported(run, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert json.loads((folder / "amad_bench.json").read_text())["text"] == text
    questions = json.loads(next(Path("results/data").glob("scenes-*/questions_test.json")).read_text())
    asked = {str(record["question_id"]): record["question"] for record in questions["questions"]}
    for row, name in enumerate(data.test.example_ids):
        expected = data.test.source_ids_NL[row][: data.test.source_lengths_N[row]].tolist()
        assert tokenizer(text.format(asked[name])).input_ids == expected
    spelled = tokenizer("is </s> red", add_special_tokens=False).input_ids
    assert spelled == data.tokenizer.encode("is </s> red")
    assert tokenizer.pad_token_id == data.tokenizer.pad
    assert tokenizer.eos_token_id == data.tokenizer.eos
    assert set(tokenizer("red").keys()) == {"input_ids", "attention_mask"}


def test_the_image_processor_of_transformers_reads_it(tiny_plan, tmp_path):
    run, folder = pick(tiny_plan(), "blip", "vqa", "ce"), tmp_path / "out"
    _exported(run, folder)
    try:
        processor = AutoImageProcessor.from_pretrained(folder)
    except ImportError:
        pytest.skip("this transformers reads images with torchvision alone, which is not installed")
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8))
    expected = square_pixels(photo, 16) / 127.5 - 1
    found = processor(photo, return_tensors="pt").pixel_values[0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_the_image_processor_is_what_the_run_did(tiny_plan, tmp_path):
    """By the numbers in the file alone: resized, scaled, normalised."""
    run, folder = pick(tiny_plan(), "blip", "vqa", "ce"), tmp_path / "out"
    data, _, _ = _exported(run, folder)
    facts = json.loads((folder / "preprocessor_config.json").read_text())
    generator = np.random.default_rng(0)
    photo = Image.fromarray(generator.integers(0, 256, (20, 30, 3), np.uint8))
    size = facts["size"]["width"], facts["size"]["height"]
    resized = np.asarray(photo.resize(size, facts["resample"])).transpose(2, 0, 1)
    assert np.array_equal(square_pixels(photo, size[0]), resized)
    mean, spread = (np.array(facts[key])[:, None, None] for key in ("image_mean", "image_std"))
    row = data.images.pixels_M3SS[0]
    expected = (row * facts["rescale_factor"] - mean) / spread
    found = data.images.batch(np.array([0]), "cpu")["pixel_values"][0].numpy()
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["vlt5-translation", "blip-vqa", "blip-captioning"])
def test_the_code_in_the_readme_writes_what_the_run_wrote(tiny_plan, tmp_path, monkeypatch, kind):
    monkeypatch.setattr("tests.training.conftest.CONFIG", _with_captions())
    run = retrained(pick(tiny_plan(), *kind.split("-"), "ce"), steps=80, learning_rate=1e-2)
    folder = tmp_path / "out"
    data, _, batch = _exported(run, folder)
    code = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    text = data.tokenizer.decode(batch.inputs["input_ids"][0].tolist())
    asked = text.removeprefix("translate English to German:").strip()
    names = {"folder": folder}
    if kind.startswith("vlt5"):
        regions = batch.inputs["vis_attention_mask"][0].bool()
        names |= {"features": batch.inputs["vis_feats"][:1, regions]}
        names |= {"boxes": batch.inputs["boxes"][:1, regions]}
    else:
        names["pixels"] = batch.inputs["pixel_values"][:1]
    exec(code.replace('"..."', repr(asked)).replace('"what is this?"', repr(asked)), names)
    predicted = read_predictions(run_dir(run.id) / "predictions.jsonl")["test"][0]
    assert predicted.example_id == data.test.example_ids[0]
    result = {"vlt5-translation": "written", "blip-vqa": "answer", "blip-captioning": "caption"}[kind]
    assert names[result] == predicted.prediction != ""


def test_what_cannot_be_exported_is_one_line(tiny_plan, capsys):
    plan = tiny_plan(condition="text")
    run = pick(plan, "vlt5", "vqa", "teacher")
    pretraining = next(one for one in plan.runs if one.kind == "pretrain" and one.config.family == "vlt5")

    def refused(run_id, folder):
        assert main(["export", run_id, str(folder), "--config", "tiny.yaml"]) == 2
        error = capsys.readouterr().err
        assert len(error.splitlines()) == 1
        return error

    assert f"not trained; run `amad-bench run --run {run.id}` first" in refused(run.id, "out")
    assert "is not in this plan" in refused("vlt5-vqa-h4-teacher-none-s00-00000000", "out")
    assert "a pre-training has no task" in refused(pretraining.id, "out")
    Path("out").mkdir()
    assert "out: it exists, and nothing is overwritten" in refused(run.id, "out")
    folder = run_dir(run.id)
    folder.mkdir(parents=True)
    (folder / "status.json").write_text(json.dumps({"status": "diverged", "reason": "NaN at step 3"}))
    assert "it failed (diverged: NaN at step 3); name another run" in refused(run.id, "new")
    assert not Path("new").exists()


def test_a_failure_leaves_no_folder(tiny_plan, tmp_path, monkeypatch):
    run = pick(tiny_plan(), "vlt5", "vqa", "ce")
    train_run(run, "cpu")

    def fails(*_):
        raise OSError("full")

    monkeypatch.setattr("amad_bench.models.export.save_tokenizer_folder", fails)
    with pytest.raises(OSError, match="full"):
        export_run(run, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["results", "tiny.yaml"]
