"""The composed loss: which parts, which weights, and how it reads."""

import pytest
import torch

from amad_bench.models.trace import record
from amad_bench.training.distill import Objective
from tests.tiny_models import tiny_batch, tiny_model

AMAD = {
    "name": "amad",
    "label": "amad_kl",
    "options": {"variant": "kl"},
    "weights": {"ce": 1.0, "logit_kd": 0.5, "attention": 20.0},
    "logit_temperature": 2.0,
    "sites": ["encoder.self"],
    "layer_map": "last",
}


def _traces():
    batch = tiny_batch("vlt5")
    for heads, seed in ((4, 1), (2, 2)):
        model = tiny_model("vlt5", heads=heads, seed=seed).eval()
        with record(model) as recorder:
            yield recorder.trace(model(**batch), batch["labels"])


def test_the_sum_is_weighted_and_the_parts_are_not():
    teacher, student = _traces()
    total, parts = Objective(AMAD)(teacher, student)
    assert list(parts) == ["ce", "logit_kd", "attention"]
    expected = parts["ce"] + 0.5 * parts["logit_kd"] + 20 * parts["attention"]
    torch.testing.assert_close(total, expected)
    unweighted = Objective({**AMAD, "weights": {"ce": 1.0, "logit_kd": 1.0, "attention": 1.0}})
    assert unweighted(teacher, student)[1]["attention"] == parts["attention"]


@pytest.mark.parametrize(
    ("loss", "text", "parts", "needs_teacher"),
    [
        ({**AMAD}, "loss = 1 * ce + 0.5 * logit_kd + 20 * amad_kl", ["ce", "logit_kd", "attention"], True),
        (
            {"name": "ce", "label": "ce", "options": {}, "weights": {"ce": 1.0}},
            "loss = 1 * ce",
            ["ce"],
            False,
        ),
        (
            {
                "name": "logit_kd",
                "label": "logit_kd",
                "options": {"temperature": 4.0},
                "weights": {"ce": 1.0, "logit_kd": 1.0},
            },
            "loss = 1 * ce + 1 * logit_kd",
            ["ce", "logit_kd"],
            True,
        ),
    ],
)
def test_composition(loss, text, parts, needs_teacher):
    objective = Objective(loss)
    assert str(objective) == text
    assert objective.needs_teacher == needs_teacher
    teacher, student = _traces()
    assert list(objective(teacher, student)[1]) == parts
