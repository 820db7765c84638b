"""VL-T5 against the official implementation, by fixtures/vlt5_official.npz (make_vlt5_official.py made it).

Origin: j-min/VL-T5 at a07d779, src/, run unchanged under transformers 4.2.1; the file's header says more.
"""

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from amad_bench.losses.ce import ce_loss
from amad_bench.models.vlt5.model import VLT5, VLT5Config
from amad_bench.models.vlt5.pretraining import PRETRAIN_TASKS, Vlt5Pretrainer

FIXTURE = Path(__file__).parent / "fixtures" / "vlt5_official.npz"
CASES = ("official", "masked_boxes", "two_images", "no_norm", "no_order", "three_heads")
CLOSE = {"atol": 1e-5, "rtol": 0.0}


@cache
def _fixture():
    with np.load(FIXTURE, allow_pickle=False) as file:
        header = json.loads(str(file["header"]))
        return header, {name: torch.from_numpy(file[name]) for name in file.files if name != "header"}


def _config(case, **changes):
    fields = {"box_area": "official", "decoder_start_token_id": 0, **_fixture()[0]["cases"][case]["config"]}
    return VLT5Config(**{**fields, **changes})


def _weights(case):
    """Under all names of the official state dict, tied ones under each of theirs."""
    header, arrays = _fixture()
    return {name: arrays[key] for name, key in header["cases"][case]["names"].items()}


def _model(case, folder, **changes):
    torch.save(_weights(case), folder / "Epoch30.pth")
    return VLT5.from_official(folder / "Epoch30.pth", _config(case, **changes)).eval()


def _batch(case=None):
    """With the further inputs of the case; None: only what the official training steps pass on."""
    header, arrays = _fixture()
    names = ["input_ids", "vis_feats", "boxes", *(header["cases"][case]["further"] if case else [])]
    return {name: arrays[f"input/{name}"] for name in names}


def _expected(case, name):
    return _fixture()[1][f"{case}/{name}"]


def _labels():
    return _fixture()[1]["input/labels"]


def test_the_fixture_covers_every_case_and_names_its_origin():
    header, arrays = _fixture()
    assert tuple(header["cases"]) == CASES
    assert "j-min/VL-T5 a07d779" in header["origin"]
    assert header["transformers"] == "4.2.1"
    assert sum((_expected(case, "generated") == 1).sum() for case in CASES) >= 10  # texts that end early
    assert FIXTURE.stat().st_size < 300_000
    assert arrays["input/input_ids"].eq(0).any()
    x1, y1, x2, y2 = arrays["input/boxes"].unbind(-1)
    assert ((y2 - x2) * (y1 - x1) < 0).any()  # the official area is negative for some box
    assert ((y2 - y1) * (x2 - x1) > 0).all()


@pytest.mark.trap("vlt5-1")
@pytest.mark.trap("vlt5-8")
@pytest.mark.parametrize("case", CASES)
def test_forward_and_loss_equal_the_official_code(case, tmp_path):
    labels = _labels()
    with torch.no_grad():
        outputs = _model(case, tmp_path)(**_batch(case), labels=labels)
    token_loss = torch.nn.functional.cross_entropy(outputs.logits.mT, labels, reduction="none")
    torch.testing.assert_close(outputs.encoder_last_hidden_state, _expected(case, "encoder"), **CLOSE)
    torch.testing.assert_close(outputs.logits, _expected(case, "logits"), **CLOSE)
    torch.testing.assert_close(token_loss, _expected(case, "token_loss"), **CLOSE)
    torch.testing.assert_close(outputs.loss, _expected(case, "mean_loss"), **CLOSE)


@pytest.mark.trap("vlt5-15")
def test_forward_loss_without_weights_is_the_mean_over_all_label_tokens():
    """Not over samples: the fixture's labels have 4, 6, 1 and 6 tokens."""
    token_loss, labels = _expected("official", "token_loss"), _labels()
    expected = token_loss.sum() / labels.ne(-100).sum()
    torch.testing.assert_close(_expected("official", "mean_loss"), expected, **CLOSE)
    by_sample = (token_loss.sum(1) / labels.ne(-100).sum(1)).mean()
    assert (by_sample - expected).abs() > 1e-3


@pytest.mark.trap("vlt5-1")
@pytest.mark.parametrize("case", CASES)
def test_greedy_generation_equals_the_official_code(case, tmp_path):
    options = {"max_length": 20, "num_beams": 1, "do_sample": False}
    ids = _model(case, tmp_path).generate(**_batch(case), **options)
    assert torch.equal(ids, _expected(case, "generated"))


@pytest.mark.trap("vlt5-16")
@pytest.mark.trap("vlt5-17")
@pytest.mark.parametrize("case", CASES)
def test_vqa_loss_equals_the_official_code(case, tmp_path):
    """Token mean of each sample times its answer's score, mean over samples; no box mask."""
    labels, scores = _labels(), _fixture()[1]["input/scores"]
    with torch.no_grad():
        logits = _model(case, tmp_path)(**_batch(), labels=labels).logits
    loss = ce_loss(logits, labels, sample_weight_B=scores)
    torch.testing.assert_close(loss, _expected(case, "vqa_loss"), **CLOSE)


@pytest.mark.trap("pre-5")
@pytest.mark.parametrize("case", CASES)
def test_pretraining_losses_equal_the_official_code(case, tmp_path):
    header = _fixture()[0]
    tasks = torch.tensor([PRETRAIN_TASKS.index(task) for task in header["tasks"]])
    with torch.no_grad():
        loss, parts = Vlt5Pretrainer(_model(case, tmp_path))(tasks, **_batch(), labels=_labels())
    found = {"loss": loss, **parts}
    assert set(found) == set(header["pretraining"])
    ordered = torch.stack([found[name] for name in header["pretraining"]])
    torch.testing.assert_close(ordered, _expected(case, "pretraining"), **CLOSE)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_other_formats_give_the_same_model(suffix, tmp_path):
    weights, path = _weights("official"), tmp_path / f"Epoch30{suffix}"
    if suffix == ".npz":
        np.savez(path, **{name: tensor.numpy() for name, tensor in weights.items()})
    else:  # which refuses tensors that share memory
        save_file({name: tensor.clone() for name, tensor in weights.items()}, path)
    expected = _model("official", tmp_path).state_dict()
    found = VLT5.from_official(path, _config("official")).state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


def test_every_official_name_is_ours_and_the_other_way_round():
    for case in CASES:
        assert set(VLT5(_config(case)).state_dict()) == set(_weights(case)), case


def test_true_box_area_is_another_function(tmp_path):
    with torch.no_grad():
        found = _model("official", tmp_path, box_area="true")(**_batch(), labels=_labels()).logits
    assert (found - _expected("official", "logits")).abs().max() > 1e-2


@pytest.mark.trap("vlt5-7")
def test_share_vis_lang_layer_norm_does_nothing(tmp_path):
    """The official case "no_order" has it on: the same logits with it off."""
    assert _fixture()[0]["cases"]["no_order"]["config"]["share_vis_lang_layer_norm"]
    with torch.no_grad():
        model = _model("no_order", tmp_path, share_vis_lang_layer_norm=False)
        found = model(**_batch("no_order"), labels=_labels()).logits
    torch.testing.assert_close(found, _expected("no_order", "logits"), **CLOSE)
