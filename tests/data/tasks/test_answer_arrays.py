import shutil

import numpy as np

from amad_bench.data.tasks.answer_arrays import AnswerArrays, load_answers
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.data.text.tokenizer import train_tokenizer
from tests.data.official_tree import answers as given
from tests.data.official_tree import edit_json, write_official
from tests.data.tasks.test_prepare import DATA

SCORES = [{"red": 1.0, "dark red": 0.3}, {}, {"red": 0.6}, {"dog": 0.9, "red": 0.3}]
TOKENIZER = train_tokenizer(["red dark dog"] * 9, 60)


def as_texts(found, n: int) -> list[dict[str, float]]:
    parts = [slice(found.offsets_N1[row], found.offsets_N1[row + 1]) for row in range(n)]
    return [
        {
            TOKENIZER.decode(found.ids_AL[index]): float(score)
            for index, score in zip(found.indices[part], found.scores[part], strict=True)
        }
        for part in parts
    ]


def test_every_question_finds_its_answers_again(tmp_path):
    AnswerArrays(TOKENIZER, SCORES).save(tmp_path, "train", 7)
    found = load_answers(tmp_path, "train")
    assert found is not None
    assert as_texts(found, 4) == SCORES
    assert found.ids_AL.shape == (3, 7)
    assert ((found.ids_AL == TOKENIZER.eos).sum(axis=1) == 1).all()
    assert as_texts(found.first(3), 3) == SCORES[:3]
    assert len(found.first(3).offsets_N1) == 4
    assert load_answers(tmp_path, "test") is None


def test_questions_without_scores_leave_nothing(tmp_path):
    arrays = AnswerArrays(TOKENIZER, [{}, {}])
    arrays.save(tmp_path, "train", 7)
    assert arrays.longest == 0
    assert load_answers(tmp_path, "train") is None


def test_only_vl_t5s_training_questions_have_answers_to_draw(scenes_config):
    """Scenes have one answer to each question, which all ten annotators gave."""
    data = load_task_data(scenes_config("vlt5", "vqa"))
    found = data.train.answers
    assert found is not None
    assert np.array_equal(found.offsets_N1, np.arange(161))
    assert set(found.scores.tolist()) == {1.0}
    assert np.array_equal(found.ids_AL[found.indices], data.train.target_ids_NL)
    assert data.validation.answers is data.test.answers is None
    assert load_task_data(scenes_config("vlt5", "captioning")).train.answers is None
    assert load_task_data(scenes_config("blip", "vqa")).train.answers is None


def test_targets_are_long_enough_for_an_answer_that_is_no_target(scenes_config, scenes_folder):
    """One annotator of one question says something longer than every target."""
    shutil.copytree(scenes_folder, DATA)
    plain = load_task_data(scenes_config("blip", "vqa")).train.target_ids_NL.shape[1]
    question: list[str] = []

    def change(content):
        record = content["annotations"][0]
        record["answers"][0]["answer"] = "red red red red red red red red"
        question.append(str(record["question_id"]))

    edit_json(DATA / "annotations_train.json", change)
    data = load_task_data(scenes_config("vlt5", "vqa"))
    answers = data.train.answers
    assert answers is not None
    assert answers.ids_AL.shape[1] == data.train.target_ids_NL.shape[1] == data.test.target_ids_NL.shape[1]
    assert answers.ids_AL.shape[1] > plain
    row = data.train.example_ids.index(question[0])
    first, last = answers.offsets_N1[row : row + 2]
    said = [data.tokenizer.decode(answers.ids_AL[index]) for index in answers.indices[first:last]]
    assert said[0] == "red red red red red red red red"
    assert answers.scores[first:last].tolist() == [0.3, 1.0]


def test_a_question_that_no_answer_of_the_vocabulary_fits(scenes_config, tmp_path, monkeypatch):
    """In the stand-in of VQA v2 only "yes" is frequent enough; ten answers to one question become "b"."""
    root = write_official(tmp_path / "data")
    edit_json(
        root / "vqa-v2/v2_mscoco_train2014_annotations.json",
        lambda content: content["annotations"][2].update(answers=given(*["b"] * 10)),
    )
    monkeypatch.setenv("AMAD_DATA", str(root))
    train = load_task_data(scenes_config("vlt5", "vqa", dataset="vqa_v2", subset=True)).train
    answers = train.answers
    assert answers is not None
    assert len(answers.ids_AL) == 1
    scores = dict(zip(train.example_ids, np.diff(answers.offsets_N1).tolist(), strict=True))
    assert sorted(scores.values()) == [0, *[1] * 8]
    assert set(answers.scores.tolist()) == {0.9, 1.0}
