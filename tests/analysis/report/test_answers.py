"""Decoded examples: the first ones, of one replicate, with images where they can be had."""

import base64
import io

import pytest
from PIL import Image

from amad_bench.analysis.collect import collect
from amad_bench.analysis.report import answers
from amad_bench.analysis.report.answers import EXAMPLES, answered
from amad_bench.data.tasks.shown import ShownExample
from amad_bench.runtime.results import ResultsFolder


@pytest.fixture
def read(fake_results):
    plan, folder = fake_results
    runs = collect(plan, folder).runs
    return lambda: answered(plan, runs, ResultsFolder(folder))


def test_the_first_examples_are_answered_by_all_losses(read):
    groups = read()
    assert [group.title for group in groups][:2] == ["VL-T5, VQA, Scenes", "VL-T5, Captioning, Scenes"]
    first = groups[0]
    assert first.setting == "8 → 2 heads"
    assert list(first.runs) == ["teacher", "ce", "logit_kd", "one_to_one", "student_mean", "amad_kl"]
    assert first.runs["amad_kl"] == "vlt5-vqa-h8to2-amad_kl-none-s00"
    assert len(first.examples) == EXAMPLES
    assert first.examples[0].answers == dict.fromkeys(first.runs, "a")
    assert first.examples[0].references == ["a"]


def test_without_prepared_data_it_says_why_there_is_no_image(read):
    example = read()[0].examples[0]
    assert example.image == example.asked == ""
    assert "no prepared data of test" in example.no_image


@pytest.mark.parametrize(
    ("size", "kind", "small", "shown"),
    [((48, 30), "PNG", True, (48, 30)), ((900, 300), "WEBP", False, (256, 85))],
)
def test_images_are_shrunk_and_stand_in_the_page(read, monkeypatch, size, kind, small, shown):
    image = Image.new("RGB", size, "red")
    monkeypatch.setattr(
        answers, "shown_examples", lambda *asked: {name: ShownExample("what?", image) for name in asked[2]}
    )
    example = read()[0].examples[0]
    assert (example.asked, example.small, example.no_image) == ("what?", small, "")
    head, _, content = example.image.partition(";base64,")
    assert head == f"data:image/{kind.lower()}"
    opened = Image.open(io.BytesIO(base64.b64decode(content)))
    assert (opened.format, opened.size) == (kind, shown)


def test_without_any_student_there_is_nothing(fake, tmp_path):
    plan = fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce",))
    assert answered(plan, collect(plan, tmp_path).runs, ResultsFolder(tmp_path)) == []
