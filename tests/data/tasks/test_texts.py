"""A vocabulary that several tasks share is one and the same, whichever of them asks for it first."""

import shutil

import pytest

from amad_bench.data.pretraining.data import load_pretraining
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.data.text.tokenizer import SpecialIds
from amad_bench.plan.catalogue import FAMILIES
from tests.data.tasks.test_prepare import DATA

SHARED = {"condition": "text", "vocabulary": 400}  # as the fixture pretrain_config has it


@pytest.mark.parametrize("family", ["vlt5", "blip"])
def test_tasks_and_pre_training_share_one_vocabulary(scenes_config, pretrain_config, family):
    pretraining = load_pretraining(pretrain_config(family, "text"))
    tasks = ["captioning", "translation", "vqa"] if family == "vlt5" else ["captioning", "vqa"]
    data = [load_task_data(scenes_config(family, task, **SHARED)) for task in tasks]
    hashes = {found.facts["tokenizer_sha256"] for found in [pretraining, *data]}
    assert len(hashes) == 1
    shutil.rmtree(DATA)
    again = load_task_data(scenes_config(family, tasks[-1], **SHARED))
    assert {again.facts["tokenizer_sha256"]} == hashes
    assert {found.tokenizer.size for found in [pretraining, *data]} == {again.tokenizer.size}
    special = SpecialIds(start=3, mask=again.tokenizer.size - 1) if family == "blip" else SpecialIds()
    assert {found.tokenizer.special for found in [pretraining, *data]} == {special}


def test_every_task_is_written_without_unknown_ids(scenes_config):
    for task in ("captioning", "translation", "vqa"):
        data = load_task_data(scenes_config("vlt5", task, **SHARED))
        for split in (data.train, data.test):
            assert (split.source_ids_NL != data.tokenizer.unknown).all()
            assert (split.target_ids_NL != data.tokenizer.unknown).all()


def test_pre_training_prefixes_are_whole_words(pretrain_config):
    """Each word one id, and one for the colon; also where the vocabulary is too small for all words."""
    tokenizer = load_pretraining(pretrain_config("vlt5", "vl", vocabulary=250)).tokenizer
    assert tokenizer.size == 250 + 200
    for prefix in FAMILIES["vlt5"].pretraining["vl"].prefixes.values():
        ids = tokenizer.encode(prefix)
        assert len(ids) == len(prefix.split()) + 1
        assert tokenizer.unknown not in ids
    assert [len(tokenizer.encode(answer)) for answer in ("true", "false")] == [1, 1]


def test_a_pre_training_without_shared_tasks_is_a_bug(pretrain_config):
    config = pretrain_config("vlt5", "text")
    alone = config.tokenizer.model_copy(update={"tasks": None})  # no plan says so
    with pytest.raises(ValueError, match="single task"):
        load_pretraining(config.model_copy(update={"tokenizer": alone}))
