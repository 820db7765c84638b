import json
import shutil

import numpy as np
import pytest

from amad_bench.data.prepare import prepare
from amad_bench.data.pretraining.data import load_pretraining
from amad_bench.data.scenes.phrases import scene_phrases
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.runtime.errors import UserError
from tests.data.folders import bert_folder, t5_folder
from tests.data.official_tree import answers, edit_json
from tests.data.tasks.test_prepare import DATA


def test_captions_and_questions_of_the_files_with_their_images(pretrain_config, scenes_folder):
    data = load_pretraining(pretrain_config("vlt5", "vl"))
    for split, images in ((data.train, "train"), (data.validation, "validation")):
        captions = json.loads((scenes_folder / f"captions_{images}.json").read_text())["annotations"]
        expected = {(f"{record['image_id']:012d}.png", record["caption"]) for record in captions}
        found = zip(split.caption_rows_C, split.captions, strict=True)
        assert {(data.images.ids[row], text) for row, text in found} == expected
        asked = json.loads((scenes_folder / f"questions_{images}.json").read_text())["questions"]
        answered = json.loads((scenes_folder / f"annotations_{images}.json").read_text())["annotations"]
        expected = {
            (f"{one['image_id']:012d}.png", one["question"], two["multiple_choice_answer"])
            for one, two in zip(asked, answered, strict=True)
        }
        found = zip(split.question_rows_Q, split.questions, split.answers, strict=True)
        assert {(data.images.ids[row], text, *answers) for row, text, answers in found} == expected
        assert all(list(answers.values()) == [1.0] for answers in split.answers)
        assert len(split.captions) == len(captions)
        assert len(split.questions) == len(asked)


def test_a_question_that_nobody_answered_is_taught_its_target(pretrain_config, scenes_folder):
    shutil.copytree(scenes_folder, DATA)
    edit_json(
        DATA / "annotations_train.json",
        lambda content: content["annotations"][0].update(answers=answers(*[""] * 10)),
    )
    record = json.loads((DATA / "annotations_train.json").read_text())["annotations"][0]
    train = load_pretraining(pretrain_config("blip", "text")).train
    assert {record["multiple_choice_answer"]: 1.0} in train.answers
    assert all(train.answers)


def test_phrases_stand_where_the_model_sees_their_regions(pretrain_config):
    data = load_pretraining(pretrain_config("vlt5", "vl"))
    assert len(data.train.phrases) == len(set(data.train.phrase_rows_M.tolist())) == 40
    for row, phrases in zip(data.train.phrase_rows_M, data.train.phrases, strict=True):
        boxes_R4 = data.images.batch(np.array([row]), "cpu")["boxes"][0].numpy()
        assert phrases == scene_phrases(data.images.ids[int(row)], boxes_R4, seed=0)
        assert 2 <= sum(map(bool, phrases)) <= 3


def test_facts_and_instances(pretrain_config):
    data = load_pretraining(pretrain_config("vlt5", "vl"))
    sha256 = data.facts.pop("tokenizer_sha256")
    assert len(sha256) == 64
    assert data.facts == {
        "captions": {"train": 200, "validation": 40},
        "questions": {"train": 160, "validation": 32},
        "images": {"train": 40, "validation": 8},
        "features": "raw 8 x 8 px patches of given boxes",
    }
    assert data.train.parts("vlt5", "vl") == {
        "lm": 200,
        "qa": 160,
        "itm": 200,
        "ground_caption": 40,
        "refer": 40,
    }
    assert data.train.instances("vlt5", "vl") == 640
    assert data.train.instances("vlt5", "text") == data.train.instances("blip", "text") == 360
    assert data.train.instances("blip", "vl") == 200


@pytest.mark.parametrize("family", ["vlt5", "blip"])
def test_the_longest_text(pretrain_config, family):
    """With EOS, and for BLIP with the start token."""
    data = load_pretraining(pretrain_config(family, "text"))
    for split in (data.train, data.validation):
        lengths = [len(data.tokenizer.encode(text)) for text in [*split.captions, *split.questions]]
        assert split.longest == max(lengths) + (2 if family == "blip" else 1)
    assert len(data.train.phrases) == (40 if family == "vlt5" else 0)


def test_conditions_share_what_is_prepared_and_tasks_share_its_images(pretrain_config, scenes_config):
    folder = prepare(pretrain_config("vlt5", "text"))
    assert folder == prepare(pretrain_config("vlt5", "vl"))
    prepare(scenes_config("vlt5", "vqa"))
    prepare(scenes_config("vlt5", "captioning"))
    names = sorted(path.name.rsplit("-", 1)[0] for path in (DATA / "prepared").iterdir())
    assert names == ["images", "vlt5-captioning", "vlt5-pretraining", "vlt5-vqa"]
    data = load_pretraining(pretrain_config("vlt5", "text"))
    assert list(data.images.ids) == list(load_task_data(scenes_config("vlt5", "vqa")).images.ids)


def test_a_limit_is_that_of_the_tasks(pretrain_config):
    data = load_pretraining(pretrain_config("blip", "vl", {"train": 7, "validation": 3, "test": 2}))
    assert (len(data.train.captions), len(data.train.questions)) == (35, 7)
    assert len(data.validation.captions) == 15
    assert data.facts["images"]["train"] == len({*data.train.caption_rows_C, *data.train.question_rows_Q})


def test_coco_mini(pretrain_config, shared_data, monkeypatch):
    """A caption may have twenty words, an answer several texts with scores, and a photo no question."""
    monkeypatch.setenv("AMAD_DATA", str(shared_data))
    limit = {"train": 30, "validation": 10, "test": 10}
    data = load_pretraining(pretrain_config("vlt5", "text", limit, vocabulary=800, dataset="coco_mini"))
    assert data.facts["captions"]["train"] >= 5 * 30
    assert data.facts["questions"] == {"train": 30, "validation": 10}
    assert len(data.train.phrases) == 0
    assert any(len(answers) > 1 for answers in data.train.answers)
    assert {score for answers in data.train.answers for score in answers.values()} <= {0.3, 0.6, 0.9, 1.0}


def test_tokenizers_from_folders(pretrain_config, tmp_path, monkeypatch):
    t5_folder(tmp_path / "data" / "t5")
    bert_folder(tmp_path / "data" / "bert")
    monkeypatch.setenv("AMAD_DATA", str(tmp_path / "data"))
    tokenizer = load_pretraining(pretrain_config("vlt5", "text", tokenizer="t5")).tokenizer
    assert tokenizer.id_of("<extra_id_0>") == tokenizer.size - 101
    tokenizer = load_pretraining(pretrain_config("blip", "text", tokenizer="bert")).tokenizer
    assert (tokenizer.start, tokenizer.special.mask) == (17, 4)
    message = r"^bert: the tokenizer has no <extra_id_0>, .*; take T5's"
    with pytest.raises(UserError, match=message):
        load_pretraining(pretrain_config("vlt5", "text", tokenizer="bert"))
