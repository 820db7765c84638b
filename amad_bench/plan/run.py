"""A run: one training with everything fixed, and its identity."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from amad_bench.plan.catalogue import PREPARED_VERSION


def canonical_json(value: Any) -> str:
    """One text per meaning: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def short_hash(value: Any, digits: int = 8) -> str:
    """The first hexadecimal digits of the SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode("utf-8")).hexdigest()[:digits]


def prepared_form(config: Mapping[str, Any]) -> dict[str, Any]:
    """What the prepared data of a run depend on: the examples, and the form in which the model reads them."""
    keys = ("family", "task", "dataset", "inputs", "tokenizer")
    return {"version": PREPARED_VERSION, **{key: config[key] for key in keys}}


@dataclass(frozen=True)
class Run:
    """config: the canonical run config. teacher_id: the teacher a student belongs to, None for others.

    student_name: of its size, where a family has students of several; for tables, no part of the identity.
    """

    id: str
    kind: str
    config: dict[str, Any]
    teacher_id: str | None = None
    student_name: str = ""

    @property
    def needs(self) -> list[str]:
        """The runs that must be finished before this one.

        The pre-training that it starts from, the teacher unless the loss does without (`ce`).
        """
        wanted = (self.config["start"], self.config["teacher"])
        return [part["run_id"] for part in wanted if part and part.get("run_id")]

    @property
    def data_key(self) -> str:
        """Names what is prepared for this run; runs that read the same examples in the same form share it."""
        return f"{self.config['dataset']['name']}-{short_hash(prepared_form(self.config))}"


def run_id(config: Mapping[str, Any]) -> str:
    """Readable prefix + 8 hex digits of the canonical config: vlt5-vqa-h8to2-amad_kl-none-s03-1f9c2a7b."""
    heads, pretraining = config["model"]["heads"], config["pretraining"]
    if config["kind"] == "pretrain":
        parts = [f"h{heads}", pretraining]
    elif config["kind"] == "teacher":
        parts = [f"h{heads}", "teacher", pretraining]
    else:
        teacher_pretraining = config["teacher_pretraining"]
        both = pretraining if pretraining == teacher_pretraining else f"{teacher_pretraining}to{pretraining}"
        parts = [f"h{config['teacher']['heads']}to{heads}", config["loss"]["label"], both]
    prefix = [config["family"], config["task"], *parts, f"s{config['replicate']:02d}"]
    return "-".join([*prefix, short_hash(config)])
