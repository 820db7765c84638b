"""A family from elsewhere, one folder and one record, goes through everything that a run goes through."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import amad_bench.models
from amad_bench.models.checkpoints import checkpoint_weights
from amad_bench.models.family import implementation_of
from amad_bench.plan.catalogue import FAMILIES, Family
from amad_bench.plan.catalogue.family import FamilyPretraining, FamilyTask, FamilyTokens
from amad_bench.plan.catalogue.options import OptionSpec
from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import expand
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.results import RESULTS
from amad_bench.runtime.run_folder.status import Status
from amad_bench.training.export import export_run
from amad_bench.training.run import score_run, train_run

# T5 that reads a text and then an image's patches.
TOY = '''
import torch
from torch import nn
from transformers.models.t5.configuration_t5 import T5Config
from transformers.models.t5.modeling_t5 import T5ForConditionalGeneration

from amad_bench.data.pretraining.batches import Words, padded, text_arguments
from amad_bench.models.family import FamilyModels, Scheme
from amad_bench.models.weights import own_tensors

SPREAD = 0.1


class Toy(T5ForConditionalGeneration):
    def __init__(self, config, patch, gain):
        super().__init__(config)
        self.patches = nn.Conv2d(3, config.d_model, patch, stride=patch)
        self.gain = gain
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "layer_norm" in name:
                nn.init.ones_(parameter)
            else:
                nn.init.normal_(parameter, std=SPREAD)

    def encode(self, input_ids, attention_mask, pixel_values=None):
        parts, masks = [self.shared(input_ids)], [attention_mask]
        if pixel_values is not None:
            parts.append(self.gain * self.patches(pixel_values).flatten(2).transpose(1, 2))
            masks.append(attention_mask.new_ones(parts[1].shape[:2]))
        mask_BK = torch.cat(masks, dim=1)
        return self.encoder(inputs_embeds=torch.cat(parts, dim=1), attention_mask=mask_BK), mask_BK

    def forward(
        self, input_ids=None, attention_mask=None, pixel_values=None, encoder_outputs=None, **options
    ):
        if encoder_outputs is None:
            encoder_outputs, attention_mask = self.encode(input_ids, attention_mask, pixel_values)
        return super().forward(attention_mask=attention_mask, encoder_outputs=encoder_outputs, **options)

    def generate(self, input_ids, attention_mask, pixel_values, **options):
        encoded, mask_BK = self.encode(input_ids, attention_mask, pixel_values)
        return super().generate(encoder_outputs=encoded, attention_mask=mask_BK, **options)


class Copier(nn.Module):
    """Pre-training: a caption is written as it was read."""

    def __init__(self, toy):
        super().__init__()
        self.toy = toy
        toy.patches.requires_grad_(False)

    def forward(self, input_ids, attention_mask, labels):
        loss = self.toy(input_ids=input_ids, attention_mask=attention_mask, labels=labels).loss
        return loss, {"copy": loss}

    def task_weights(self):
        return {name: t for name, t in own_tensors(self.toy).items() if not name.startswith("patches.")}


class ToyModels(FamilyModels):
    settings = {}
    settings_in = {}
    may_be_fresh = {"text": (r"^patches\\.",)}

    def build(self, wanted):
        config, special = wanted.config, wanted.tokenizer.special
        model = config.model
        sizes = T5Config(
            vocab_size=wanted.tokenizer.size,
            d_model=model.width,
            d_kv=model.head_size,
            d_ff=model.feed_forward,
            num_layers=model.layers,
            num_heads=model.heads,
            dropout_rate=model.dropout,
            pad_token_id=special.pad,
            eos_token_id=special.eos,
            decoder_start_token_id=special.pad,
        )
        toy = Toy(sizes, config.inputs.patch, model.options["gain"])
        return Copier(toy) if config.kind == "pretrain" else toy

    def schemes(self, model, path, module, parameter):
        yield parameter, Scheme(0.0, SPREAD)

    def batch_maker(self, split, data, condition):
        words, tokenizer = Words(data.tokenizer), data.tokenizer

        def make(numbers_B, generator, device):
            captions = [words.all(split.captions[n]) for n in numbers_B]
            ids_BL = padded([[*caption, tokenizer.eos] for caption in captions], tokenizer.pad)
            texts = text_arguments(ids_BL, tokenizer.pad)
            return texts | {"labels": texts["input_ids"].masked_fill(texts["attention_mask"] == 0, -100)}

        return make
'''
SITES = ("encoder.self", "decoder.self", "decoder.cross")
RECORD = Family(
    "toy",
    "Toy",
    "ToyModels",
    ("pixels",),
    {"captioning": FamilyTask(SITES, "tell:")},
    ("inner_width",),
    {"text": FamilyPretraining({"captions": "captions"}, {"captions": "copy:"})},
    {"gain": OptionSpec(float, 1.0, above=0, description="factor of what is seen of an image")},
    FamilyTokens(sentinels=("<copied>",)),
)
CONFIG = """
name: toy
replicates: 1
datasets:
  scenes: {{train_images: 12, validation_images: 4, test_images: 6}}
models:
  toy:
    inputs: {{kind: pixels, size: 16, patch: 8}}
    gain: {gain}
    teacher: &size {{layers: 2, width: 16, feed_forward: 32, dropout: 0.1}}
    student: *size
heads: {{teacher: [4], student: [2]}}
pretraining: {{teacher: [{condition}], student: [none], training: {{toy: {{text: {training}}}}}}}
losses: [{{name: ce}}, {{name: amad, variant: kl}}]
sites: {{toy: [encoder.self, decoder.cross]}}
tasks:
  - family: toy
    task: captioning
    dataset: scenes
    vocabulary: 120
    decoding: {{max_length: 6, beams: 2}}
    teacher: {training}
    student: {training}
"""
TRAINING = (
    "{examples: all, steps: 4, batch: 8, learning_rate: 1.0e-3, warmup: 0.1, weight_decay: 0.01, clip: 1.0, "
    "evaluations: 2}"
)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory, and the family: a folder that is found as a part of the package, and a record."""
    (tmp_path / "elsewhere/toy").mkdir(parents=True)
    (tmp_path / "elsewhere/toy/__init__.py").write_text(TOY, encoding="utf-8")
    monkeypatch.setattr(
        amad_bench.models, "__path__", [*amad_bench.models.__path__, str(tmp_path / "elsewhere")]
    )
    monkeypatch.setitem(FAMILIES, "toy", RECORD)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("amad_bench.models.toy", None)
    vars(amad_bench.models).pop("toy", None)


def _plan(folder: Path, condition: str = "none", gain: str = "2.0") -> Plan:
    text = CONFIG.format(condition=condition, gain=gain, training=TRAINING)
    (folder / "toy.yaml").write_text(text, encoding="utf-8")
    return expand(load_config(folder / "toy.yaml"))


def _run(plan: Plan, kind: str, label: str = "") -> Run:
    found = [run for run in plan.runs if run.kind == kind and label in ("", run.config.loss.label)]
    assert len(found) == 1
    return found[0]


def test_teacher_and_student_are_trained_write_and_are_scored(toy: Path) -> None:
    plan = _plan(toy)
    teacher, student = _run(plan, "teacher"), _run(plan, "student", "amad_kl")
    assert teacher.config.model.options == {"gain": 2.0}
    for run in (teacher, student):
        assert train_run(run, "cpu") == "done"
    folder = RESULTS.run(student.id)
    steps = folder.steps.read_text(encoding="utf-8")
    assert '"attention"' in steps  # the loss that compares maps was there
    scores = pd.read_parquet(folder.scores)
    of_test = scores[(scores["split"] == "test") & (scores["metric"] == "ROUGE_L")]
    assert of_test["example_id"].nunique() == 6
    assert of_test["value"].between(0, 1).all()
    assert score_run(student, "cpu") == "done"
    pd.testing.assert_frame_equal(pd.read_parquet(folder.scores), scores)
    assert type(implementation_of(RECORD)).__module__ == "amad_bench.models.toy"
    with pytest.raises(UserError, match=r"^toy: its models cannot be exported, .* has no `save`$"):
        export_run(student, toy / "out")
    assert not (toy / "out").exists()


def test_it_is_pre_trained_and_starts_from_that(toy: Path) -> None:
    plan = _plan(toy, "text")
    pretraining, teacher = _run(plan, "pretrain"), _run(plan, "teacher")
    assert train_run(pretraining, "cpu") == "done"
    stored = checkpoint_weights(RESULTS.run(pretraining.id).checkpoint)
    assert stored.heads == dict.fromkeys(SITES, 4)
    assert not any(name.startswith("patches.") for name in stored.tensors)
    assert train_run(teacher, "cpu") == "done"
    status = Status.read(RESULTS.run(teacher.id).status)
    assert status.head_map == {site: [[0], [1], [2], [3]] for site in SITES}


def test_conditions_that_it_has_not_are_refused(toy: Path) -> None:
    _plan(toy)
    path = toy / "toy.yaml"
    text = path.read_text(encoding="utf-8")
    here = text.replace("training: {toy: {text: ", "training: {toy: {vl: ")
    there = text.replace("student: *size", "student: {<<: *size, checkpoints: {vl: [toy.bin]}}")
    for spoilt, message in (
        (here, r"pretraining\.training\.toy\.vl: toy has no such pre-training; remove it$"),
        (there, r"models\.toy\.student\.checkpoints\.vl: toy has no such weights; remove them$"),
    ):
        path.write_text(spoilt, encoding="utf-8")
        with pytest.raises(UserError, match=message):
            load_config(path)


def test_its_options_are_checked_as_those_of_any_family(toy: Path) -> None:
    with pytest.raises(UserError, match=r"models\.toy\.gain: expected more than 0, found 0\.0$"):
        _plan(toy, gain="0.0")
    with pytest.raises(UserError, match=r"models\.toy\.order_embedding: only vlt5 has it; remove it$"):
        _plan(toy, gain="1.0\n    order_embedding: true")
    with pytest.raises(UserError, match=r"models\.toy\.gian: unknown key\. Did you mean 'gain'\?$"):
        _plan(toy, gain="1.0\n    gian: 1.0")
