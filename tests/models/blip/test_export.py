"""A BLIP for VQA whose sides differ in width, written for our own class and read back."""

from pathlib import Path

import pytest
import torch
from transformers.models.blip.modeling_blip import BlipForQuestionAnswering

from amad_bench.data.text.tokenizer import train_tokenizer
from amad_bench.models.blip.export import save_blip
from amad_bench.models.blip.model import BlipAnswerer
from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import possible_plan
from amad_bench.plan.run_config import RunConfig
from tests.models.test_two_sides import CONFIG
from tests.tiny_models import built, tiny_batch


@pytest.fixture
def config(tmp_path: Path) -> RunConfig:
    path = tmp_path / "large.yaml"
    path.write_text(CONFIG, encoding="utf-8")
    runs = possible_plan(load_config(path)).runs
    return next(run.config for run in runs if (run.kind, run.config.task) == ("teacher", "vqa"))


@torch.no_grad()
def test_an_answerer_of_two_widths_is_read_by_our_own_class(config: RunConfig, tmp_path: Path) -> None:
    model, folder = built(config).eval(), tmp_path / "out"
    tokenizer = train_tokenizer(["what is on the mat?"], 40, FAMILIES["blip"].tokens)
    exported = save_blip(model, tokenizer, config, folder)
    back = BlipAnswerer.from_pretrained(folder).eval()
    own, read = model.state_dict(), back.state_dict()
    assert own.keys() == read.keys()
    assert all(torch.equal(own[name], read[name]) for name in own)
    batch = tiny_batch("blip-vqa")
    assert torch.equal(model(**batch).logits, back(**batch).logits)
    assert exported.class_name == "BlipAnswerer"
    assert exported.differences == []
    assert "from amad_bench.models.blip.model import BlipAnswerer\n" in exported.code
    assert "BlipAnswerer.from_pretrained(folder)" in exported.code


def test_transformers_class_cannot_have_two_widths(config: RunConfig) -> None:
    """Why it is not written for it: the decoder expects what it attends to in the image's width."""
    sizes, batch = built(config).config, tiny_batch("blip-vqa")
    batch["labels"] = batch["labels"].clamp(min=0)  # it takes no -100
    stock = BlipForQuestionAnswering(sizes)
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        stock(**batch)
