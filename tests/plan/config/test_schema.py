"""Config files: what is read, and one line for each mistake, all at once."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from amad_bench.plan.catalogue import DATASETS, LOSSES
from amad_bench.plan.config.load import load_config
from amad_bench.plan.config.schema import Config
from amad_bench.runtime.errors import UserError

Raw = dict[str, Any]
Errors = Callable[[Any], list[str]]


def only(lines: list[str]) -> str:
    assert len(lines) == 1, lines
    return lines[0]


def test_a_valid_config_is_read(raw: Raw, load: Callable[[Any], Config]) -> None:
    config = load(raw)
    assert config.tasks[0].student.examples == 60
    assert config.tasks[0].teacher.examples == "all"
    assert config.models["blip"].inputs.model_dump() == {
        "kind": "pixels",
        "size": 48,
        "patch": 8,
        "colours": "half",
    }


def test_keys_left_out_get_documented_defaults(raw: Raw, load: Callable[[Any], Config]) -> None:
    config = load(raw)
    assert (config.seed, config.device, config.teacher_per, config.heads.keep) == (
        *(0, "auto", "sweep", "inner_width"),
    )
    assert config.loss_weights.model_dump() == {"ce": 1.0, "logit_kd": 1.0, "attention": 1.0}
    assert (config.logit_temperature, config.layer_map) == (2.0, "last")


def test_the_default_config_is_valid_and_gives_nothing_to_others(
    repository: Path, raw: Raw, load: Callable[[Any], Config], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    default = yaml.safe_load((repository / "configs/default.yaml").read_text())
    default["losses"].append({"name": "amad", "variant": "mse"})
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/default.yaml").write_text(yaml.safe_dump(default | {"seed": 7}))
    monkeypatch.chdir(tmp_path)
    assert load_config("configs/default.yaml").seed == 7
    other = load(raw)
    assert other.seed == 0
    assert set(other.datasets) == {"scenes"}
    assert other.options("scenes")["train_images"] == 100
    assert [entry.name for entry in other.losses] == ["ce", "logit_kd", "one_to_one", "amad"]
    assert len(other.tasks) == 2


def test_all_mistakes_are_reported_at_once(raw: Raw, errors: Errors) -> None:
    """Wrong keys, types and names first; what values mean together as soon as these are right."""
    raw["models"]["blip"]["student"]["width"] = 64
    raw["heads"]["student"] = [2, 6]
    raw["tasks"][0]["decoding"]["rank"] = 4
    together = [line.split(": ")[0] for line in errors(raw)]
    assert together == ["models.blip.student.width", "tasks[0].decoding.rank"]
    raw["sed"] = 3
    raw["replicates"] = "2"
    raw["losses"][3] = {"name": "amda"}
    raw["datasets"]["scens"] = {}
    raw["tasks"][0]["student"]["stpes"] = raw["tasks"][0]["student"].pop("steps")
    lines = errors(raw)
    assert {line.split(": ")[0] for line in lines} == {
        *("sed", "replicates", "losses[3].name", "datasets.scens"),
        *("tasks[0].student.stpes", "tasks[0].student.steps"),
    }
    assert "tasks[0].student.steps: missing; add this key" in lines


@pytest.mark.parametrize(
    ("path", "name", "meant"),
    [
        ((), "replicate", "replicates"),
        (("datasets", "scenes"), "train_image", "train_images"),
        (("models", "vlt5", "inputs"), "max_region", "max_regions"),
        (("models", "blip", "inputs"), "ptach", "patch"),
        (("models", "vlt5", "teacher"), "widht", "width"),
        (("losses", 3), "temprature", "temperature"),
        (("tasks", 1), "vocabluary", "vocabulary"),
        (("tasks", 1, "decoding"), "beam", "beams"),
    ],
)
def test_an_unknown_key_is_named_with_the_one_that_was_meant(
    raw: Raw, errors: Errors, path: tuple[str | int, ...], name: str, meant: str
) -> None:
    inner: Any = raw
    for part in path:
        inner = inner[part]
    inner[name] = 1
    line = only(errors(raw))
    assert "unknown key" in line
    assert name in line.split(": ")[0]
    assert f"Did you mean {meant!r}?" in line


def test_an_unknown_key_far_from_all_known_ones_lists_them(raw: Raw, errors: Errors) -> None:
    raw["models"]["blip"]["inputs"]["xyzzy"] = 1
    assert only(errors(raw)).endswith("Known keys: kind, size, patch, colours")


@pytest.mark.trap("site-3")
@pytest.mark.parametrize(
    ("spoil", "starts", "contains"),
    [
        (lambda c: c["losses"][3].update(name="amda"), "losses[3].name: unknown loss 'amda'", "'amad'"),
        (lambda c: c["losses"][3].update(variant="kll"), "losses[3].variant: ", "Did you mean 'kl'?"),
        (lambda c: c["losses"][3].update(temperature=0), "losses[3].temperature: ", "more than 0"),
        (lambda c: c["losses"][3].update(temperature=float("inf")), "losses[3].temperature: ", "finite"),
        (
            lambda c: c["losses"][3].update(detach_alignment=1),
            "losses[3].detach_alignment: ",
            "true or false",
        ),
        (
            lambda c: c["losses"][0].update(loss_weights={"attention": 1.0}),
            "losses[0].loss_weights.attention: ",
            "ce",
        ),
        (
            lambda c: c.update(device="cpu") or c["losses"][3].update(kernel="triton"),
            "losses[3].kernel: triton needs CUDA",
            "choose chunked",
        ),
        (lambda c: c["losses"].append({"name": "ce"}), "losses[4]: losses[0] is labelled 'ce' too", "label"),
        (lambda c: c["losses"][3].update(label="teacher"), "losses[3].label: ", "another label"),
        (lambda c: c["losses"][0].update(label="plain"), "losses[0].label: ", "remove it"),
        (
            lambda c: c["losses"].append({"name": "amad", "label": "ce"}),
            "losses[4].label: 'ce' stands",
            "loss ce",
        ),
        (lambda c: c["losses"][1].update(label="student_mean"), "losses[1].label: ", "another label"),
        (lambda c: c["losses"][1].update(label="amad_mse"), "losses[1].label: ", "the loss amad"),
        (lambda c: c["losses"][3].update(label="amad_mse"), "losses[3].label: ", "another label"),
        (lambda c: c["tasks"][0]["teacher"].update(log_every=5), "tasks[0].teacher.log_every: unknown", ""),
        (lambda c: c["tasks"][0].update(task="vqaa"), "tasks[0].task: unknown task 'vqaa'", "'vqa'"),
        (lambda c: c["tasks"][0].update(dataset="scene"), "tasks[0].dataset: unknown data set", "'scenes'"),
        (lambda c: c["tasks"][0].update(family="vl-t5"), "tasks[0].family: unknown family", "'vlt5'"),
        (lambda c: c["tasks"][1].update(task="translation"), "tasks[1].task: blip has no translation", "vqa"),
        (
            lambda c: c["tasks"][1].update(dataset="flickr8k"),
            "tasks[1].dataset: datasets.flickr8k is missing",
            "{}",
        ),
        (lambda c: c["tasks"].append(c["tasks"][0]), "tasks[2]: ", "stand in tasks[0] already"),
        (lambda c: c["models"].pop("blip"), "tasks[1].family: models.blip is missing", "how large"),
        (lambda c: c["sites"].update(vlt5=["encoder.slf"]), "sites.vlt5[0]: unknown site", "'encoder.self'"),
        (lambda c: c["sites"].update(blip=["text.self"]), "sites.blip: captioning", "decoder.self"),
        (lambda c: c["sites"].pop("blip"), "sites.blip: missing", "vision.self"),
        (lambda c: c.update(layer_map="lats"), "layer_map: expected last", "Did you mean 'last'?"),
        (
            lambda c: c.update(layer_map=[[0, 2]]),
            "layer_map[0]: layer 2 of the teacher",
            "models.blip.teacher has 2",
        ),
        (
            lambda c: c.update(layer_map=[[0, 0], [0]]),
            "layer_map[1]: expected [student layer, teacher",
            "[0]",
        ),
        (lambda c: c["heads"].update(student=[2, 2]), "heads.student[1]: 2 stands twice", "keep one"),
        (
            lambda c: c.update(pretraining={"student": ["vll"]}),
            "pretraining.student[0]: unknown pre-training 'vll'",
            "Did you mean 'vl'?",
        ),
        (
            lambda c: c["tasks"][0].update(image_size=96),
            "tasks[0].image_size: only for models that see pixels",
            "remove",
        ),
        (lambda c: c["tasks"][1].update(image_size=50), "tasks[1].image_size: 50 is no multiple", "size 8"),
        (lambda c: c.update(name="a b"), "name: expected letters, digits", "found 'a b'"),
        (lambda c: c["losses"][3].update(label="a-b"), "losses[3].label: expected letters, digits", "'a-b'"),
        (lambda c: c.update(device="gpu"), "device: expected auto or cpu or cuda", "found 'gpu'"),
        (lambda c: c.update(runs_per_gpu=0), "runs_per_gpu: expected `auto` or a whole number", "found 0"),
        (
            lambda c: c.update(runs_per_gpu="many"),
            "runs_per_gpu: expected `auto` or a whole number",
            "found 'many'",
        ),
        (
            lambda c: c.update(runs_per_gpu=True),
            "runs_per_gpu: expected `auto` or a whole number",
            "found true",
        ),
        (
            lambda c: c.update(runs_per_gpu=1.5),
            "runs_per_gpu: expected `auto` or a whole number",
            "found 1.5",
        ),
        (lambda c: c.update(seed=1.5), "seed: expected a whole number", "1.5"),
        (lambda c: c.update(seed=True), "seed: expected a whole number", "found true"),
        (lambda c: c.update(tasks=[]), "tasks: expected a list with at least one entry", "found []"),
        (
            lambda c: c["tasks"][0].update(teacher=None),
            "tasks[0].teacher: expected a mapping",
            "found nothing",
        ),
        (lambda c: c["tasks"][0]["teacher"].update(examples="al"), "tasks[0].teacher.examples: ", "`all`"),
        (
            lambda c: c["tasks"][0]["student"].update(evaluations=11),
            "tasks[0].student.evaluations: 11",
            "10 steps",
        ),
        (lambda c: c["datasets"]["scenes"].update(seed="0"), "datasets.scenes.seed: expected a whole", "'0'"),
        (
            lambda c: c["datasets"]["scenes"].update(limit={"train": 1, "test": 1}),
            "datasets.scenes.limit.val",
            "add",
        ),
        (lambda c: c["models"]["blip"]["inputs"].update(patch=7), "models.blip.inputs.size: 48", "multiple"),
        (
            lambda c: c["models"]["vlt5"]["inputs"].update(boxes="grid"),
            "models.vlt5.inputs: `boxes: grid` needs rows and columns",
            "add",
        ),
        (
            lambda c: c["models"]["vlt5"]["inputs"].update(boxes="grid", rows=3, columns=3),
            "models.vlt5.inputs.max_regions: 8 is less than 3 x 3",
            "raise",
        ),
    ],
)
def test_each_mistake_is_one_line_that_names_its_key(
    raw: Raw, errors: Errors, spoil: Callable[[Raw], Any], starts: str, contains: str
) -> None:
    spoil(raw)
    line = only(errors(raw))
    assert line.startswith(starts)
    assert contains in line


@pytest.mark.trap("heads-2")
def test_impossible_head_counts_name_the_possible_ones(raw: Raw, errors: Errors) -> None:
    raw["heads"]["student"] = [6]
    line = only(errors(raw))  # 48 divides by 6, 64 does not
    assert line.startswith("models.blip.student.width: blip with width 64 cannot have 6 heads")
    assert line.endswith("possible: 1, 2, 4, 8, 16, 32, 64")


@pytest.mark.trap("heads-2")
def test_blip_cannot_fix_the_head_size(raw: Raw, errors: Errors) -> None:
    raw["heads"]["keep"] = "head_size"
    for role in ("teacher", "student"):
        raw["models"]["vlt5"][role]["head_size"] = 16
    assert only(errors(raw)).startswith("heads.keep: blip cannot keep the head size")


def test_a_fixed_head_size_must_be_given_and_only_then(raw: Raw, errors: Errors) -> None:
    del raw["models"]["blip"], raw["sites"]["blip"], raw["tasks"][1]
    raw["heads"]["keep"] = "head_size"
    assert [line.split(": ")[0] for line in errors(raw)] == [
        "models.vlt5.teacher.head_size",
        "models.vlt5.student.head_size",
    ]
    raw["heads"]["keep"] = "inner_width"
    raw["models"]["vlt5"]["teacher"]["head_size"] = 8
    assert only(errors(raw)).startswith("models.vlt5.teacher.head_size: only for `heads.keep: head_size`")


def test_real_photos_have_no_box_files(raw: Raw, errors: Errors) -> None:
    raw["datasets"]["daquar"] = {}
    raw["tasks"][0]["dataset"] = "daquar"
    line = only(errors(raw))
    assert line.startswith("tasks[0].dataset: daquar comes without boxes")
    assert "grid" in line


@pytest.mark.parametrize(("text", "advice"), [("1e-3", "1.0e-3"), ("5E4", "5.0e+4"), ("2.5e3", "2.5e+3")])
def test_a_number_that_yaml_takes_for_text_is_explained(write: Any, raw: Raw, text: str, advice: str) -> None:
    document = yaml.safe_dump(raw).replace("learning_rate: 0.001", f"learning_rate: {text}")
    with pytest.raises(UserError) as caught:
        load_config(write(document))
    assert len(caught.value.messages) == 4
    assert all(f"write {advice}, YAML reads {text} as text" in line for line in caught.value.messages)
    assert isinstance(yaml.safe_load(advice), float)


def test_quoted_numbers_are_refused(raw: Raw, errors: Errors) -> None:
    raw["tasks"][0]["student"]["steps"] = "10"
    assert only(errors(raw)) == (
        "tasks[0].student.steps: expected a whole number, found the text '10'; write it without quotes"
    )


def test_keys_that_are_no_text_are_reported(raw: Raw, errors: Errors) -> None:
    raw[1] = 2
    raw["datasets"]["scenes"][2.5] = 3
    assert sorted(errors(raw)) == [
        "1: expected text as key, found '1', which YAML reads as int; write the key in quotes or correct it",
        "datasets.scenes.2.5: expected text as key, found '2.5', which YAML reads as float; write the key in "
        "quotes or correct it",
    ]


@pytest.mark.parametrize(
    ("path", "value", "most"),
    [
        (("tasks", 0, "vocabulary"), 10**20, "1,000,000"),
        (("tasks", 0, "decoding", "max_length"), 10**20, "4,096"),
        (("tasks", 0, "decoding", "beams"), 10**10, "1,024"),
        (("tasks", 0, "student", "steps"), 10**12, "1,000,000,000"),
        (("tasks", 0, "student", "batch"), 10**10, "65,536"),
        (("models", "vlt5", "inputs", "crop"), 10**10, "4,096"),
        (("models", "vlt5", "student", "feed_forward"), 10**10, "65,536"),
        (("models", "vlt5", "student", "layers"), 10**10, "1,024"),
        (("datasets", "scenes", "train_images"), 10**20, "1,000,000"),
        (("datasets", "scenes", "seed"), 10**20, "9,223,372,036,854,775,807"),
        (("seed",), 10**20, "9,223,372,036,854,775,807"),
        (("workers",), 10**10, "1,024"),
        (("replicates",), 10**9, "1,024"),
    ],
)
def test_numbers_beyond_any_use_are_refused(
    raw: Raw, errors: Errors, path: tuple[str | int, ...], value: int, most: str
) -> None:
    inner: Any = raw
    for part in path[:-1]:
        inner = inner[part]
    inner[path[-1]] = value
    where = ".".join(map(str, path)).replace(".0", "[0]")
    assert f"{where}: expected at most {most}, found {value}" in errors(raw)


def test_no_whole_number_is_without_an_end() -> None:
    schema = Config.model_json_schema()
    numbers = [found for found in nested(schema) if found.get("type") == "integer"]
    without = [found for found in numbers if "maximum" not in found]
    assert len(numbers) > 20
    assert without == [{"type": "integer"}]  # `examples`, of which all may be used: below
    specs = [spec for record in (*DATASETS.values(), *LOSSES.values()) for spec in record.options.values()]
    assert all(spec.maximum for spec in specs if spec.type is int)


def nested(value: Any) -> Iterator[dict[str, Any]]:
    """All objects in a JSON value."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from nested(inner)


def test_examples_and_students_have_an_end(raw: Raw, errors: Errors, load: Callable[[Any], Config]) -> None:
    raw["tasks"][0]["student"]["examples"] = 10**9 + 1
    expected = "`all` or a whole number from 1 to 1,000,000,000"
    assert only(errors(raw)) == f"tasks[0].student.examples: expected {expected}, found 1000000001"
    raw["tasks"][0]["student"]["examples"] = "all"
    raw["tasks"], raw["losses"] = raw["tasks"][:1], [{"name": "ce"}, {"name": "logit_kd"}]
    raw["heads"] = {"teacher": [1, 2, 4, 8], "student": [1, 2, 4, 8, 16]}
    raw["replicates"] = 1000
    load(raw)  # 2 x 4 x 5 x 1000 students
    raw["pretraining"] = {"teacher": ["none"], "student": ["none"]}
    raw["losses"] = [{"name": "amad", "label": f"l{n}", "temperature": n + 1} for n in range(6)]
    assert only(errors(raw)).startswith("120,000 students are asked for, expected at most 100,000: lower")


def test_a_small_width_of_huge_heads_ends(raw: Raw, errors: Errors) -> None:
    raw["models"]["vlt5"]["student"]["width"] = 10**12 + 1
    assert "models.vlt5.student.width: expected at most 65,536, found 1000000000001" in errors(raw)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("no", "false, as YAML reads yes, no, on and off; write it in quotes"),
        ("On", "true, as YAML reads yes, no, on and off; write it in quotes"),
        ("2026", "2026; write it in quotes"),
        ("2026-01-01", "2026-01-01; write it in quotes"),
    ],
)
def test_text_that_yaml_reads_as_something_else(raw: Raw, tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(raw).replace("name: small", f"name: {text}"), encoding="utf-8")
    with pytest.raises(UserError) as caught:
        load_config(path)
    assert str(caught.value) == f"{path}: name: expected text, found {says}"


def test_a_number_with_a_nought_before_it(raw: Raw, errors: Errors) -> None:
    raw["replicates"] = "09"  # which YAML reads as this text
    assert only(errors(raw)) == (
        "replicates: expected a whole number, found the text '09'; write 9, YAML reads 09 as text"
    )


def test_precomputed_features_need_their_files(raw: Raw, errors: Errors, load: Any) -> None:
    raw["models"]["vlt5"]["inputs"] = {"kind": "features", "size": 2048, "max_regions": 36}
    assert only(errors(raw)).startswith("datasets.scenes.features: missing; vlt5 sees precomputed features")
    raw["datasets"]["scenes"]["features"] = ["scenes.h5"]
    assert load(raw).datasets["scenes"].features == ["scenes.h5"]
    raw["models"]["blip"]["inputs"] = {"kind": "features", "size": 2048, "max_regions": 36}
    assert only(errors(raw)).startswith("models.blip.inputs.kind: blip sees pixels, found 'features'")


@pytest.mark.parametrize(("keys", "found"), [({}, "neither"), ({"vocabulary": 9, "tokenizer": "t5"}, "both")])
def test_a_tokenizer_is_trained_or_taken(raw: Raw, errors: Errors, keys: Raw, found: str) -> None:
    del raw["tasks"][0]["vocabulary"]
    raw["tasks"][0] |= keys
    line = only(errors(raw))
    assert line.startswith("tasks[0].vocabulary: expected either")
    assert line.endswith(f"found {found}")


@pytest.mark.parametrize(
    ("tests", "line"),
    [
        (["test_2017_flikr"], "datasets.multi30k.tests[0]: unknown entry 'test_2017_flikr'. Did you mean"),
        (["test_2017_flickr"] * 2, "datasets.multi30k.tests[1]: 'test_2017_flickr' stands twice"),
        ([], "datasets.multi30k.tests: expected at least one of test_2016_flickr"),
        ("test_2016_flickr", "datasets.multi30k.tests: expected a list, found 'test_2016_flickr'"),
    ],
)
def test_test_sets_are_a_list_of_known_names(raw: Raw, errors: Errors, tests: Any, line: str) -> None:
    raw["datasets"]["multi30k"] = {"tests": tests}
    assert only(errors(raw)).startswith(line)


def test_extra_metrics_are_known(raw: Raw, errors: Errors, planned: Any) -> None:
    raw["extra_metrics"] = ["METEOR"]
    assert planned(raw).extra_metrics == ("METEOR",)
    raw["extra_metrics"] = ["METEOR", "SPICY"]
    assert only(errors(raw)).startswith(
        "extra_metrics[1]: unknown extra metric 'SPICY'. Did you mean 'SPICE'"
    )


def test_an_assistant_is_another_loss_of_the_config(raw: Raw, errors: Errors, load: Any) -> None:
    entry = {"name": "amad", "label": "via_4", "assistant": {"heads": 4, "loss": "amad_kl"}}
    raw["losses"].append(entry)
    assert load(raw).losses[-1].shown_label == "via_4"
    entry["assistant"] = {"heads": 4, "loss": "amad_lk"}
    assert only(errors(raw)).startswith(
        "losses[4].assistant.loss: unknown label of a loss without an assistant"
    )
    entry["assistant"] = {"heads": 4, "loss": "via_4"}  # itself
    assert only(errors(raw)).startswith("losses[4].assistant.loss: unknown label")
    entry["assistant"] = {"heads": 7, "loss": "amad_kl"}
    assert [line.split(": ")[0] for line in errors(raw)] == ["losses[4].assistant.heads"] * 2  # both families
    entry["assistant"] = {"heads": 4, "loss": "amad_kl"}
    del entry["label"]
    assert any("a loss taught by an assistant needs a label of its own" in line for line in errors(raw))
    raw["losses"][4] = {"name": "ce", "assistant": {"heads": 4, "loss": "amad_kl"}}
    assert any("ce has no teacher, hence no assistant" in line for line in errors(raw))


def test_options_that_clash_are_reported(raw: Raw, errors: Errors) -> None:
    raw["losses"].append({"name": "amad", "variant": "mse", "row_reduction": "sum"})
    assert only(errors(raw)).startswith("losses[4]: row_reduction: sum is for the variants with rows")


@pytest.mark.parametrize("path", ["", "/data/vit"])
def test_paths_are_below_the_data_folder(raw: Raw, errors: Errors, path: str) -> None:
    raw["datasets"]["scenes"]["features"] = [path]
    sizes = {"size": 32, "rows": 2, "columns": 2}
    raw["models"]["vlt5"]["inputs"] = {"kind": "extracted", "model": path, **sizes}
    raw["tasks"][0]["tokenizer"] = path
    del raw["tasks"][0]["vocabulary"]
    found = f"expected a path below AMAD_DATA, found '{path}'"
    keys = ("datasets.scenes.features[0]", "models.vlt5.inputs.model", "tasks[0].tokenizer")
    assert {f"{key}: {found}" for key in keys} <= set(errors(raw))


@pytest.mark.trap("site-3")
def test_an_assistant_has_the_students_layers(raw: Raw, errors: Errors, load: Any) -> None:
    """The teacher of SMALL's vlt5 has three layers, its students two."""
    raw["tasks"] = raw["tasks"][:1]
    raw["layer_map"] = [[1, 2]]
    load(raw)
    raw["losses"].append({"name": "amad", "label": "via", "assistant": {"heads": 4, "loss": "amad_kl"}})
    assert only(errors(raw)).startswith("layer_map[0]: layer 2 of the teacher does not exist in an assistant")


@pytest.mark.parametrize(
    ("steps", "advice"),
    [
        ("1e3", "found the text '1e3'; write 1000, YAML reads 1e3 as text"),
        ("'12'", "found the text '12'; write it without quotes"),
        ("10k", "found the text '10k'"),
        ("1 000", "found the text '1 000'"),
    ],
)
def test_the_advice_for_a_whole_number_is_one(steps, advice, tmp_path, raw):
    raw["tasks"][0]["teacher"]["steps"] = "STEPS"
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(raw).replace("STEPS", steps))
    with pytest.raises(UserError) as caught:
        load_config(path)
    line = next(line for line in str(caught.value).splitlines() if ".teacher.steps: " in line)
    assert line.endswith(f".teacher.steps: expected a whole number, {advice}")


@pytest.mark.parametrize("family", [{"a": 1}, ["vlt5"], 3, None])
def test_a_family_that_is_no_text_is_a_line(family, tmp_path, raw):
    raw["tasks"][0]["family"] = family
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(UserError, match=r"tasks\[0\]\.family: expected text"):
        load_config(tmp_path / "c.yaml")


def test_paths_need_an_encoding(tmp_path, raw, monkeypatch):
    """Read in the encoding of a locale, a folder below an umlaut would be missing, and its runs unplanned."""
    raw["tasks"][0] |= {"vocabulary": None, "tokenizer": "mödels/t5"}
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(raw, allow_unicode=True), encoding="utf-8")
    load_config(tmp_path / "c.yaml")
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "iso8859-1")
    with pytest.raises(
        UserError, match=r"tasks\[0\]\.tokenizer: .*file names as iso8859-1 here: set PYTHONUTF8=1"
    ):
        load_config(tmp_path / "c.yaml")


@pytest.mark.parametrize(
    ("key", "value"), [("learning_rate", 1e300), ("weight_decay", 2e30), ("clip", 10**90), ("warmup", 1e300)]
)
def test_numbers_that_need_not_be_whole_have_an_end_too(key, value, tmp_path, raw):
    raw["tasks"][0]["teacher"][key] = value
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(UserError, match=rf"teacher\.{key}: expected (at most 1e\+30|less than 1), found "):
        load_config(tmp_path / "c.yaml")


def test_a_temperature_whose_square_is_no_number_is_refused(tmp_path, raw):
    raw["losses"].append({"name": "logit_kd", "label": "hot", "temperature": 1e200})
    raw["logit_temperature"] = 1e200
    (tmp_path / "c.yaml").write_text(yaml.safe_dump(raw))
    with pytest.raises(UserError) as caught:
        load_config(tmp_path / "c.yaml")
    assert str(caught.value).count("expected at most 1e+30, found 1e+200") == 2
