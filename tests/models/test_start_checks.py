"""What `doctor` says of the weights that a config names, before anything is trained."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers.models.bert.configuration_bert import BertConfig
from transformers.models.bert.modeling_bert import BertForPreTraining
from transformers.models.vit.configuration_vit import ViTConfig
from transformers.models.vit.modeling_vit import ViTModel

from amad_bench.data.text.tokenizer import load_folder_tokenizer
from amad_bench.models.start_checks import examine_weights
from amad_bench.models.vlt5.model import VLT5, VLT5Config
from tests.data.doctored import CONFIG, doctor, doctored_config, write_doctored
from tests.data.folders import WORDPIECES, bert_folder, t5_folder

SIZE = {"layers": 2, "width": 24, "feed_forward": 32, "dropout": 0.0, "cut": "none"}
GRID = {"kind": "regions", "boxes": "grid", "rows": 1, "columns": 2, "crop": 2, "max_regions": 2}
BLIP, VLT5_TASK = "blip vqa daquar", "vlt5 vqa daquar"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """AMAD_DATA with a BERT and an official VL-T5, both of 12 heads and the sizes of SIZE."""
    root = write_doctored(tmp_path, monkeypatch)
    bert_folder(root / "bert")
    sizes = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 12}
    BertForPreTraining(BertConfig(**sizes, vocab_size=len(WORDPIECES))).save_pretrained(root / "bert")
    t5_folder(root / "t5")
    config = VLT5Config(
        vocab_size=load_folder_tokenizer(root / "t5", "vlt5").size,
        d_model=24,
        d_kv=2,
        d_ff=32,
        num_layers=2,
        num_heads=12,
        feat_dim=12,
        box_area="official",
    )
    torch.save(VLT5(config).state_dict(), root / "vl.pth")
    return root


def _write(family: str, teacher: dict[str, Any], student: dict[str, Any], **more: Any) -> None:
    """A config whose models start from the weights; 6 of 12 heads need another cut than SIZE's."""
    entry = {**CONFIG["models"]["blip"]}
    condition, checkpoints, tokenizer = "text", ["bert"], "bert"
    if family == "vlt5":
        entry = {"inputs": GRID, "order_embedding": True, "box_area": "official"}
        condition, checkpoints, tokenizer = "vl", ["vl.pth"], "t5"
    named = {"checkpoints": {condition: checkpoints}}
    entry |= {"teacher": {**SIZE, **named, **teacher}, "student": {**SIZE, **named, **student}}
    raw = {
        **CONFIG,
        "models": {family: entry | more},
        "heads": {"teacher": [12], "student": [6]},
        "pretraining": {"teacher": [condition], "student": [condition], "training": {}},
        "tasks": [{**CONFIG["tasks"][0], "family": family, "vocabulary": None, "tokenizer": tokenizer}],
    }
    Path("config.yaml").write_text(yaml.safe_dump(raw))


def _found() -> list[tuple[str, str]]:
    """The errors."""
    checks = examine_weights(doctored_config())
    assert not any("\n" in check.text for check in checks)
    return [(check.name, check.text) for check in checks if not check.ok]


def _said() -> list[str]:
    """What is said of weights that fit."""
    return [check.text for check in examine_weights(doctored_config()) if check.ok]


REMAP = {"cut": "remap"}


@pytest.mark.parametrize("family", ["blip", "vlt5"])
@pytest.mark.usefixtures("folder")
def test_weights_that_fit_are_no_finding(family: str, capsys) -> None:
    _write(family, {}, REMAP)
    assert _found() == []
    code, out, err = doctor(capsys)
    assert (code, err) == (0, "")
    assert f"{family} vqa daquar: {_said()[0]}" in out.splitlines()


@pytest.mark.usefixtures("folder")
def test_heads_are_said_with_what_they_were_read_from() -> None:
    """No tensor of BERT shows its heads: a wrong number in config.json would load, and is printed."""
    _write("blip", {}, REMAP)
    heads = "heads by bert/config.json: text.self, decoder.self: 12 of 2 channels"
    pooler = "bert: bert.pooler.dense.bias, bert: bert.pooler.dense.weight"
    not_taken = f"not taken: {pooler}, bert: cls.seq_relationship.bias and 1 more"
    assert _said() == [f"bert: {heads}; {not_taken}"]
    _write("vlt5", {}, REMAP)
    sites = "encoder.self, decoder.self, decoder.cross"
    assert _said() == [f"vl.pth: heads by the bias tables: {sites}: 12 of 2 channels"]


def test_other_settings_and_other_colours_are_no_mistake(folder: Path) -> None:
    """The first are obeyed, the second are said: BLIP starts from a ViT that saw another scale."""
    _write("blip", {}, REMAP)
    file = folder / "bert" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"layer_norm_eps": 0.5, "hidden_act": "relu"}))
    sizes = {"hidden_size": 24, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 12}
    ViTModel(ViTConfig(**sizes, image_size=16, patch_size=8)).save_pretrained(folder / "vit")
    (folder / "vit" / "preprocessor_config.json").write_text(
        json.dumps({"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]})
    )
    raw = yaml.safe_load(Path("config.yaml").read_text())
    for size in ("teacher", "student"):
        raw["models"]["blip"][size]["checkpoints"] = {"text": ["bert", "vit"]}
    Path("config.yaml").write_text(yaml.safe_dump(raw))
    assert _found() == []
    assert _said()[0].endswith("; colours: half, but imagenet by preprocessor_config.json")


@pytest.mark.parametrize(
    ("family", "teacher", "student", "reason"),
    [
        ("blip", {}, {}, "12 heads at text.self, 6 in the model; use `cut: inherit`"),
        ("vlt5", {}, {}, "12 heads at encoder.self, 6 in the model; use `cut: inherit`"),
        ("vlt5", {}, {"cut": "inherit", "heads": [24]}, "cannot inherit 24 heads from 12"),
        ("blip", {}, REMAP | {"layers": 3}, "encoder.layer has 2 layers there, 3 in the model"),
        ("vlt5", {}, REMAP | {"layers": 3}, "encoder.block has 2 layers there, 3 in the model"),
        ("blip", {}, REMAP | {"width": 12}, "24) there, ("),
        ("vlt5", {"feed_forward": 40}, REMAP, "wi.weight is (32, 24) there, (40, 24) in the model"),
    ],
)
def test_shapes_that_do_not_fit_are_one_line_each(folder: Path, family, teacher, student, reason) -> None:
    _write(family, teacher, student)
    ((name, text),) = _found()
    assert name == f"{family} vqa daquar"
    assert text.startswith(f"{folder / ('bert' if family == 'blip' else 'vl.pth')}: ")
    assert reason in text


@pytest.mark.usefixtures("folder")
def test_two_shapes_that_do_not_fit_are_two_lines() -> None:
    _write("blip", {"feed_forward": 40}, {})
    assert [text.split(": ", 1)[1].split(";")[0] for _, text in _found()] == [
        "text_encoder.encoder.layer.0.intermediate.dense.weight is (32, 24) there, (40, 24) in the model",
        "12 heads at text.self, 6 in the model",
    ]


def test_names_that_do_not_fit(folder: Path) -> None:
    """An official VL-T5 without order embeddings."""
    stored = torch.load(folder / "vl.pth")
    torch.save({n: t for n, t in stored.items() if "img_order" not in n}, folder / "vl.pth")
    _write("vlt5", {}, REMAP)
    ((name, text),) = _found()
    assert name == VLT5_TASK
    assert "missing encoder.visual_embedding.img_order_embedding.weight; unexpected nothing" in text


@pytest.mark.parametrize("change", [1, -1])
def test_a_vocabulary_that_does_not_fit(folder: Path, change: int) -> None:
    """[DEC] and [ENC] may be new; a word less in the tokenizer, or in the weights, is another tokenizer."""
    words = len(WORDPIECES)
    bert_folder(folder / "other")
    lines = [*WORDPIECES, "one", "two", "three"] if change > 0 else WORDPIECES[:-3]
    (folder / "other" / "vocab.txt").write_text("\n".join(lines) + "\n")
    _write("blip", {}, REMAP)
    raw = yaml.safe_load(Path("config.yaml").read_text())
    raw["tasks"][0]["tokenizer"] = "other"
    Path("config.yaml").write_text(yaml.safe_dump(raw))
    ((_, text),) = _found()
    assert f"has {words} rows, the tokenizer {len(lines) + 2} tokens" in text


@pytest.mark.usefixtures("folder")
def test_features_of_another_size() -> None:
    _write("vlt5", {}, REMAP, inputs={"kind": "features", "size": 5, "max_regions": 4})
    raw = yaml.safe_load(Path("config.yaml").read_text())
    Path("config.yaml").write_text(yaml.safe_dump(raw | {"datasets": {"daquar": {"features": ["a.h5"]}}}))
    found = _found()
    assert len(found) == 2  # what could be done differs with their cut
    assert all("feat_embedding.0.weight is (24, 12) there, (24, 5) in the model" in text for _, text in found)


def test_weights_that_cannot_be_read_are_one_line(folder: Path, capsys) -> None:
    _write("blip", {}, {})
    tensors = load_file(folder / "bert" / "model.safetensors")
    tensors["cls.predictions.bias"][0] = float("nan")
    save_file(tensors, folder / "bert" / "model.safetensors", metadata={"format": "pt"})
    code, out, err = doctor(capsys)
    assert code == 2
    assert f"{BLIP}: {folder / 'bert'}: cls.predictions.bias is not finite" in out
    assert err == "amad-bench: error: config.yaml: 1 error in what they hold\n"


def test_a_broken_tokenizer_is_said_once(folder: Path, capsys) -> None:
    """Without it nobody knows the vocabulary; what can be read of the weights is still checked."""
    _write("vlt5", {}, {})
    (folder / "t5" / "spiece.model").write_bytes(b"damaged")
    assert _found() == []
    code, out, _ = doctor(capsys)
    assert code == 2
    assert out.count("spiece.model") == 1
    torch.save([1], folder / "vl.pth")
    assert "cannot be read as tensors by name" in _found()[0][1]


def test_weights_that_are_not_there_are_left_to_the_list_of_files(folder: Path) -> None:
    (folder / "vl.pth").unlink()
    _write("vlt5", {}, {})
    assert _found() == []


def test_tasks_that_share_weights_share_the_line(folder: Path) -> None:
    """Two data sets with one vocabulary: read once, refused once."""
    _write("blip", {}, {})
    raw = yaml.safe_load(Path("config.yaml").read_text())
    raw["datasets"]["scenes"] = {}
    raw["tasks"].append({**raw["tasks"][0], "dataset": "scenes"})
    Path("config.yaml").write_text(yaml.safe_dump(raw))
    ((name, _),) = _found()
    assert name == f"{BLIP}, blip vqa scenes"
    config = json.loads((folder / "bert" / "config.json").read_text())
    (folder / "bert" / "config.json").write_text(json.dumps(config | {"is_decoder": True}))
    ((name, text),) = _found()
    assert name == f"{BLIP}, blip vqa scenes"
    assert "is_decoder is True, expected False" in text
