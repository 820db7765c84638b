"""Methods text is made of the config and its plan."""

import pytest

from amad_bench.analysis.report.methods import losses, training
from amad_bench.plan.config.schema import Config
from tests.analysis.conftest import make_plan, make_raw


def said(**asked) -> str:
    return " ".join(training(Config.model_validate(make_raw(**asked)), make_plan(**asked)))


@pytest.mark.parametrize(
    ("per", "words"),
    [
        ("sweep", "this teacher"),
        ("block", "Each block has a teacher"),
        ("replicate", "teachers of this kind"),
    ],
)
def test_who_taught_whom(per, words):
    assert words in said(changes={"teacher_per": per, "seed": 12})
    assert "config's seed, 12." in said(changes={"teacher_per": per, "seed": 12})


def test_images_of_blocks_are_named_for_scenes():
    assert "images of its own" in said(changes={"scenes_per": "block", "teacher_per": "block"})
    assert "see the same images" in said()


def test_a_sentence_for_each_task():
    text = said(tasks=(("vlt5", "vqa"), ("blip", "captioning")))
    assert text.count("students were trained for") == 2
    assert (
        "BLIP, Captioning, Scenes: students were trained for 1,000 steps of 64 examples, out of 6,000" in text
    )
    assert "in fp32; they were decoded greedily." in text


def test_losses_with_formula_options_sites_and_layer_map():
    found = {loss.label: loss for loss in losses(make_plan(tasks=(("vlt5", "vqa"), ("blip", "vqa"))))}
    assert list(found) == ["ce", "logit_kd", "one_to_one", "student_mean", "amad_kl"]
    assert found["ce"].says == []
    assert "Σ_h D(t_h, s_h)" in found["one_to_one"].compares
    assert found["amad_kl"].says[0].startswith("variant kl, similarity cosine, temperature 1.0")
    assert found["amad_kl"].says[1:] == [
        "weights ce 1, logit_kd 1, attention 1",
        "temperature 2 of the logits beside it",
        "VL-T5: encoder.self, layer map last",
        "BLIP: vision.self, layer map last",
    ]
