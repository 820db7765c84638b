"""Questions without answers, for a model that sees precomputed features."""

import json

import numpy as np

from amad_bench.data.tasks.batches import make_batch
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.data.tasks.unanswered import load_unanswered
from amad_bench.plan.config.inputs import FeatureInputs
from tests.data.images.test_features import record, write_h5
from tests.data.images.test_photos import GREY, png


def test_features_of_photos_that_are_not_the_data_sets(scenes_config, tmp_path, monkeypatch):
    monkeypatch.setenv("AMAD_DATA", str(tmp_path))  # below which a run's own features are
    config = scenes_config("vlt5", "vqa")
    data = load_task_data(config)
    photos = tmp_path / "test2015"
    photos.mkdir()
    names = [f"COCO_test2015_{number:012d}" for number in (7, 9)]
    for name in names:
        png(photos / f"{name}.png", GREY)
    features = write_h5(tmp_path / "test.h5", {name: record(seed=i) for i, name in enumerate(names)})
    questions = tmp_path / "questions.json"
    asked = [
        {"question_id": 3, "image_id": 9, "question": "what is red?"},
        {"question_id": 1, "image_id": 7, "question": "how many are there?"},
    ]
    questions.write_text(json.dumps({"questions": asked}))
    given = config.model_copy(update={"inputs": FeatureInputs(kind="features", size=5, max_regions=4)})
    folder = tmp_path / "made"
    folder.mkdir()
    split, images = load_unanswered(given, data.tokenizer, questions, photos, folder, [features], shortest=9)
    assert split.example_ids == ["3", "1"]
    assert split.source_ids_NL.shape[1] >= 9
    batch = make_batch(split, images, np.array([0, 1]), "cpu")
    for row, seed in ((0, 1), (1, 0)):
        assert np.array_equal(batch.inputs["vis_feats"][row, :3].numpy(), record(seed=seed)["features"])
        ids = [token for token in batch.inputs["input_ids"][row].tolist() if token != data.tokenizer.pad]
        assert ids == [*data.tokenizer.encode(f"vqa: {asked[row]['question']}"), data.tokenizer.eos]
    assert batch.inputs["vis_attention_mask"].tolist() == [[1, 1, 1, 0]] * 2
    assert batch.labels_BL.eq(-100).all()
