"""The published hyperparameters (docs/pretraining.md#training-recipes) as configs/paper.yaml has them."""

import pytest

from amad_bench.plan.config.load import load_config
from amad_bench.plan.config.models import ModelSize
from amad_bench.plan.config.schema import Config, TaskEntry


@pytest.fixture(scope="module")
def config(repository) -> Config:
    return load_config(repository / "configs" / "paper.yaml")


def task_entry(config: Config, family: str, task: str) -> TaskEntry:
    return next(entry for entry in config.tasks if (entry.family, entry.task) == (family, task))


def sizes(model: ModelSize) -> tuple[int, int, int, float]:
    return model.layers, model.width, model.feed_forward, model.dropout


@pytest.mark.trap("train-4")
@pytest.mark.parametrize("task", ["vqa", "captioning", "translation"])
def test_vlt5_is_trained_as_published(config, task):
    training = task_entry(config, "vlt5", task).student
    assert (training.learning_rate, training.warmup, training.schedule) == (5e-5, 0.1, "linear")
    assert (training.weight_decay, training.clip) == (0.01, 5.0)
    model = config.models["vlt5"]
    assert sizes(model.teacher) == (12, 768, 3072, 0.1)
    assert {size.dropout for size in model.student_sizes.values()} == {0.1}
    assert (model.inputs.size, model.inputs.max_regions) == (2048, 36)


@pytest.mark.trap("vlt5-18")
def test_vlt5_answers_greedily(config):
    decoding = task_entry(config, "vlt5", "vqa").decoding
    assert (decoding.max_length, decoding.beams) == (20, 1)


@pytest.mark.trap("train-6")
@pytest.mark.parametrize(
    ("task", "rate", "pixels", "beams", "rank"),
    [("captioning", 1e-5, 384, 3, None), ("vqa", 2e-5, 480, 1, 128)],
)
def test_blip_is_trained_as_published(config, task, rate, pixels, beams, rank):
    found = task_entry(config, "blip", task)
    training = found.student
    assert (training.learning_rate, training.batch, training.schedule) == (rate, 256, "cosine")
    assert (training.weight_decay, training.warmup) == (0.05, 0.0)
    assert (found.image_size or config.models["blip"].inputs.size) == pixels
    assert (found.decoding.beams, found.decoding.rank) == (beams, rank)


@pytest.mark.trap("blip-1")
def test_blip_base_has_the_published_sizes(config):
    model = config.models["blip"]
    assert sizes(model.teacher)[:3] == (12, 768, 3072)
    assert model.teacher.heads == [12]
    assert model.inputs.patch == 16
