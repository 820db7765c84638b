"""Every condition that is asked for can be reached; each mistake is one line that names its key."""

from collections.abc import Callable
from typing import Any

import pytest

Raw = dict[str, Any]
Errors = Callable[[Any], list[str]]

TRAINING = {
    "examples": "all",
    "steps": 4,
    "batch": 4,
    "learning_rate": 1e-3,
    "warmup": 0.1,
    "weight_decay": 0.01,
    "clip": 1.0,
    "evaluations": 1,
}


@pytest.fixture
def pretrained(raw: Raw) -> Raw:
    """The small config with every condition, trained here; VL-T5 knows its regions by number."""
    training = {family: {"text": dict(TRAINING), "vl": dict(TRAINING)} for family in ("vlt5", "blip")}
    raw["pretraining"] = {
        "teacher": ["none", "text", "vl"],
        "student": ["none", "vl"],
        "training": training,
    }
    raw["models"]["vlt5"]["order_embedding"] = True
    return raw


def test_all_conditions_trained_here_are_accepted(pretrained: Raw, load: Callable[[Any], Any]) -> None:
    config = load(pretrained)
    assert set(config.pretraining.training) == {"vlt5", "blip"}


@pytest.mark.trap("pre-1")
@pytest.mark.parametrize(
    ("spoil", "line", "contains"),
    [
        (
            lambda c: c["pretraining"]["training"]["vlt5"].pop("text"),
            "models.vlt5.teacher.checkpoints.text: missing",
            "pretraining.training.vlt5.text",
        ),
        (
            lambda c: c["pretraining"]["training"]["blip"].update(none=dict(TRAINING)),
            "pretraining.training.blip.none: ",
            "random weights",
        ),
        (
            lambda c: c["models"]["vlt5"]["student"].update(checkpoints={"none": ["models/t5"]}),
            "models.vlt5.student.checkpoints.none: ",
            "random weights",
        ),
        (
            lambda c: c["models"]["blip"]["student"].update(checkpoints={"lv": ["models/blip"]}),
            "models.blip.student.checkpoints.lv: unknown pre-training 'lv'",
            "text, vl",
        ),
        (
            lambda c: c["models"]["blip"]["student"].update(checkpoints={"text": ["/models/blip"]}),
            "models.blip.student.checkpoints.text[0]: ",
            "below AMAD_DATA",
        ),
        (
            lambda c: c["pretraining"]["training"]["blip"]["vl"].update(examples=10),
            "pretraining.training.blip.vl.examples: expected all",
            "found 10",
        ),
        (
            lambda c: c["pretraining"]["training"].update(vltt5={}),
            "pretraining.training.vltt5: unknown family",
            "'vlt5'",
        ),
        (
            lambda c: c["pretraining"]["training"]["vlt5"]["vl"].update(momentum_distillation=True),
            "pretraining.training.vlt5.vl.momentum_distillation: ",
            "only for `vl` of blip",
        ),
        (
            lambda c: c["models"]["vlt5"].update(order_embedding=False),
            "models.vlt5.order_embedding: ",
            "write true",
        ),
        (
            lambda c: c["models"]["blip"].update(order_embedding=True),
            "models.blip.order_embedding: only vlt5",
            "remove",
        ),
        (
            lambda c: c["models"]["vlt5"]["inputs"].update(boxes="grid", rows=2, columns=2),
            "models.vlt5.inputs.boxes: ",
            "write file",
        ),
        (
            lambda c: c["models"]["vlt5"]["teacher"].update(cut="inherit"),
            "models.vlt5.teacher.cut: ",
            "name them",
        ),
        (
            lambda c: c["models"]["vlt5"]["student"].update(inherit_heads="spread"),
            "models.vlt5.student.inherit_heads: ",
            "only for `cut: inherit`",
        ),
        (
            lambda c: c["models"]["vlt5"].update(students={"small": dict(c["models"]["vlt5"]["student"])}),
            "models.vlt5.student: expected either",
            "found both",
        ),
        (lambda c: c["models"]["vlt5"].pop("student"), "models.vlt5.student: expected either", "neither"),
        (
            lambda c: c["models"]["vlt5"].update(
                students=dict.fromkeys(("a", "b"), c["models"]["vlt5"].pop("student"))
            ),
            "models.vlt5.students.b: the same as models.vlt5.students.a",
            "keep one",
        ),
        (
            lambda c: c["pretraining"]["training"]["vlt5"]["vl"].update(evaluations=9),
            "pretraining.training.vlt5.vl.evaluations: 9 are more than the 4 steps",
            "lower",
        ),
        (
            lambda c: c["pretraining"]["training"]["blip"]["vl"].update(batch=1),
            "pretraining.training.blip.vl.batch: 1 has no other image",
            "raise",
        ),
        *(
            (
                lambda c, path=path: c["models"]["blip"]["student"].update(checkpoints={"text": [path]}),
                "models.blip.student.checkpoints.text[0]: ",
                "below AMAD_DATA",
            )
            for path in ("../blip", ".", "~/blip", "x" * 300, "models/../../blip")
        ),
        (
            lambda c: c["models"]["blip"]["student"].update(heads=[3]),
            "models.blip.student.width: blip with width 64 cannot have 3 heads",
            "models.blip.student.heads",
        ),
        (
            lambda c: c["tasks"][0]["decoding"].update(rank=8),
            "tasks[0].decoding.rank: ",
            "BLIP's VQA",
        ),
    ],
)
def test_each_mistake_is_one_line(
    pretrained: Raw, errors: Errors, spoil: Callable[[Raw], Any], line: str, contains: str
) -> None:
    spoil(pretrained)
    found = errors(pretrained)
    assert len(found) == 1, found
    assert found[0].startswith(line)
    assert contains in found[0]


@pytest.mark.parametrize(
    ("dataset", "family", "task", "says"),
    [
        ("daquar", "blip", "vqa", "has not both captions and questions"),
        ("vqa_v2_subset", "blip", "vqa", "has not both captions and questions"),
        ("flickr8k", "blip", "captioning", "has not both captions and questions"),
        ("coco", "blip", "captioning", "has not both captions and questions"),
        ("multi30k", "vlt5", "translation", "has not both captions and questions"),
        ("coco_mini", "vlt5", "vqa", "does not say what is in an image's boxes"),
    ],
)
def test_data_that_models_cannot_be_pretrained_on(
    pretrained: Raw, errors: Errors, dataset: str, family: str, task: str, says: str
) -> None:
    pretrained["datasets"] = {dataset: {}}
    pretrained["tasks"] = [{**pretrained["tasks"][0], "family": family, "task": task, "dataset": dataset}]
    assert any(line.startswith("tasks[0].dataset: ") and says in line for line in errors(pretrained))


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize(
    ("family", "spoil", "line"),
    [
        ("vlt5", lambda c: c["tasks"][0].pop("tokenizer"), "tasks[0].tokenizer: missing; models.vlt5 starts"),
        ("vlt5", lambda c: c["models"]["vlt5"].pop("box_area"), "models.vlt5.box_area: the `vl` weights"),
        ("vlt5", lambda c: c["models"]["vlt5"].pop("order_embedding"), "models.vlt5.order_embedding: the"),
        ("blip", lambda c: c["models"]["blip"]["inputs"].pop("colours"), "models.blip.inputs.colours: the"),
    ],
)
def test_published_weights_need_what_they_were_made_with(
    raw: Raw,
    errors: Errors,
    load: Callable[[Any], Any],
    family: str,
    spoil: Callable[[Raw], Any],
    line: str,
    cut: bool,
) -> None:
    """Else they load, and compute another function without a word."""
    raw["pretraining"] = {"teacher": ["none"], "student": ["vl"]} if cut else {"teacher": ["vl"]}
    raw["models"] = {family: raw["models"][family]}
    if cut:  # the student starts from the teacher's weights, which the teacher itself does not use
        raw["models"][family]["student"]["cut"] = "inherit"
    raw["sites"] = {family: raw["sites"][family]}
    raw["models"][family]["teacher"]["checkpoints"] = {"vl": ["models/weights"]}
    raw["tasks"] = [{**raw["tasks"][0 if family == "vlt5" else 1], "tokenizer": "models/words"}]
    del raw["tasks"][0]["vocabulary"]
    if family == "vlt5":
        raw["models"]["vlt5"] |= {"order_embedding": True, "box_area": "official"}
    else:
        raw["models"]["blip"]["inputs"]["colours"] = "clip"
    load(raw)
    spoil(raw)
    assert any(found.startswith(line) for found in errors(raw))


def test_a_list_among_the_conditions_is_no_traceback(pretrained: Raw, errors: Errors) -> None:
    pretrained["pretraining"]["teacher"] = [["none"]]
    assert any(line.startswith("pretraining.teacher[0]: expected text") for line in errors(pretrained))
