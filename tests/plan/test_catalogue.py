"""The catalogue's records agree with each other."""

from types import SimpleNamespace

import pytest

from amad_bench.plan.catalogue import (
    DATASETS,
    FAMILIES,
    FORMATS,
    LOSSES,
    METRICS,
    TASKS,
    metrics_of,
    model_shape,
    primary_metric,
)
from amad_bench.plan.config.models import ModelSize
from amad_bench.plan.datafiles import sources

PRETRAININGS = [found for family in FAMILIES.values() for found in family.pretraining.values()]
RECORDS = (
    *LOSSES.values(),
    *DATASETS.values(),
    *FAMILIES.values(),
    *FORMATS.values(),
    *PRETRAININGS,
)  # those with options


def shape(heads: int, family: str = "vlt5", task: str = "vqa"):
    sizes = {"heads": heads, "layers": 2, "width": 48, "head_size": 48 // heads}
    return model_shape(family, task, SimpleNamespace(side=lambda _: SimpleNamespace(**sizes)))


def test_names_are_keys_and_versions_start_at_one() -> None:
    for records in (DATASETS, FAMILIES, FORMATS, LOSSES, METRICS, TASKS):
        for name, record in records.items():
            assert record.name == name
            assert getattr(record, "version", 1) >= 1


def test_every_data_set_has_metrics_for_its_tasks() -> None:
    for dataset in DATASETS.values():
        for task in dataset.tasks:
            assert metrics_of(task, dataset)
            assert set(metrics_of(task, dataset)) <= set(METRICS)


def test_every_data_set_with_translations_says_what_english_becomes() -> None:
    """A prompt names it; no language is taken for granted."""
    for dataset in DATASETS.values():
        language = dataset.language(dataset.complete({}))
        assert bool(language) == ("translation" in dataset.tasks), dataset.name
    french = {"language": "fr", "tests": ["test_2016_flickr"], "photos": "none"}
    assert DATASETS["multi30k"].language(french) == "French"


@pytest.mark.trap("vqa-8")
def test_primary_metrics() -> None:
    found = {(t, d): primary_metric(t, record) for d, record in DATASETS.items() for t in record.tasks}
    assert found == {
        ("vqa", "scenes"): "vqa_accuracy",
        ("captioning", "scenes"): "CIDEr",
        ("translation", "scenes"): "BLEU",
        ("vqa", "daquar"): "exact_match",
        ("captioning", "flickr8k"): "CIDEr",
        ("translation", "multi30k"): "BLEU",
        ("captioning", "coco"): "CIDEr",
        ("captioning", "coco_mini"): "CIDEr",
        ("vqa", "coco_mini"): "vqa_accuracy",
        ("vqa", "vqa_v2"): "vqa_accuracy",
        ("vqa", "vqa_v2_subset"): "vqa_accuracy",
    }


@pytest.mark.parametrize("name", sorted(DATASETS.keys() - {"scenes", "vqa_v2", "coco"}))
def test_the_files_of_the_small_real_data_sets_exist(shared_data, name: str) -> None:
    record = DATASETS[name]
    for task in record.tasks:
        wanted = sources(name, task, record.complete({}), "pixels", None)
        assert len(wanted) >= 2
        assert [source.path for source in wanted if source.found(shared_data) is None] == []


def test_defaults_are_allowed_values() -> None:
    for record in RECORDS:
        for spec in record.options.values():
            assert isinstance(spec.default, spec.type)
            assert list(spec.problems("default", spec.default)) == []
            chosen = spec.default if spec.type is list else [spec.default]
            assert not spec.choices or set(chosen) <= set(spec.choices)


def test_every_option_is_described() -> None:
    for record in RECORDS:
        for key, spec in record.options.items():
            assert 20 < len(spec.description) < 200, key
            assert "|" not in spec.description  # stands in a table of docs/config.md


def test_every_loss_says_what_it_compares() -> None:
    assert [name for name, loss in LOSSES.items() if not loss.compares] == []


def test_labels_carry_the_variant() -> None:
    assert LOSSES["amad"].label({}) == "amad_kl"
    assert LOSSES["amad"].label({"variant": "mse"}) == "amad_mse"
    assert LOSSES["student_mean"].label({"distance": "mse"}) == "student_mean"


@pytest.mark.trap("site-1")
def test_a_shape_has_the_sites_of_its_task() -> None:
    assert set(shape(2, "blip", "captioning").heads) == {"vision.self", "decoder.self", "decoder.cross"}
    assert set(shape(2, "blip", "vqa").layers) == {
        *("vision.self", "text.self", "text.cross", "decoder.self", "decoder.cross"),
    }
    assert shape(2).head_size == {"encoder.self": 24, "decoder.self": 24, "decoder.cross": 24}


def test_a_shape_has_each_sites_own_side() -> None:
    sides = {
        "vision": SimpleNamespace(heads=16, layers=24, width=1024, head_size=64),
        "text": SimpleNamespace(heads=12, layers=12, width=768, head_size=64),
    }
    found = model_shape("blip", "vqa", SimpleNamespace(side=sides.get))
    of_text = ("text.self", "text.cross", "decoder.self", "decoder.cross")
    assert found.heads == {"vision.self": 16, **dict.fromkeys(of_text, 12)}
    assert found.layers == {"vision.self": 24, **dict.fromkeys(of_text, 12)}
    assert found.width == {"vision.self": 1024, **dict.fromkeys(of_text, 768)}
    assert found.head_size == {"vision.self": 64, **dict.fromkeys(of_text, 64)}


def test_every_site_belongs_to_one_side_of_a_family_that_has_sides() -> None:
    for family in FAMILIES.values():
        sites = [site for own in family.sides.values() for site in own]
        if family.sides:
            assert sorted(sites) == sorted(family.all_sites)
        assert set(family.sides) <= set(ModelSize.model_fields)  # where a config names them


@pytest.mark.parametrize("name", LOSSES)
def test_equal_heads_are_supported_by_all(name: str) -> None:
    assert LOSSES[name].supports(shape(8), shape(8)) == (True, "")


@pytest.mark.trap("one-to-one-1")
@pytest.mark.parametrize("heads", [(8, 2), (2, 8)])
def test_which_losses_refuse_other_head_counts(heads: tuple[int, int]) -> None:
    teacher, student = map(shape, heads)
    refusing = [name for name, loss in LOSSES.items() if not loss.supports(teacher, student)[0]]
    fewer_teacher_heads = ["shd"] if heads[0] < heads[1] else []  # it splits the teacher's heads into groups
    assert refusing == ["one_to_one", "minilm", "tinybert", *fewer_teacher_heads]
    assert LOSSES["one_to_one"].supports(teacher, student, {"drop": "extra"}) == (True, "")
