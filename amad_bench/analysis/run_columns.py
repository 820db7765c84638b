"""Columns of the table `runs`: those that a run's config fixes, with phrases for what people compare."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from amad_bench.data.formats.overlap import describe_overlap
from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.run import Run
from amad_bench.plan.run_config import DataSpec, Model, RunConfig, Side, Start, Taught, UsedDataset

SHORT_HASH = 8  # digits of a hash that tables show
RANDOM = "random"
AS_IS = "as is"
UNCUT = (RANDOM, AS_IS)  # of the column `cut`: nothing was taken out of a model of another shape
SIZES = (
    "heads",
    "layers",
    "width",
    "feed_forward",
    "head_size",
)  # of the run's own model, at the sites compared
DATA_FACTS = (  # of status.json["data"]
    "features",
    "image_overlap",
    "tokenizer_sha256",
    "split_examples",
    "with_image",
    "left_out",
    "answers",
)


def run_columns(run: Run) -> dict[str, Any]:
    """The columns that are known before a run starts.

    A pre-training has no teacher_heads and no student_heads: it serves teachers and students.
    """
    config, model = run.config, run.config.model
    is_student, taught = run.kind == "student", config.teacher
    shape = describe_shape(config.family, model, config.heads_keep)
    return {
        "run_id": run.id,
        "kind": run.kind,
        "teacher_id": run.teacher_id,
        "family": config.family,
        "task": config.task,
        "dataset": config.dataset.name,
        "dataset_options": compact(config.dataset.options),
        "limit": describe_limit(config.dataset),
        "examples": str(config.training.examples),
        "inputs": describe_inputs(config),
        "vocabulary": config.tokenizer.vocabulary,  # None: the tokenizer was not trained here
        "teacher_heads": model.heads if run.kind == "teacher" else taught and taught.heads,
        "student_heads": model.heads if is_student else None,
        "student": run.student_name if is_student else None,
        "student_shape": shape if is_student else None,
        "block": config.block and config.block.pair,  # None: the run is shared
        "assistant": _assistant(taught),
        "teacher_outputs": taught and taught.outputs,
        "precision": config.precision,
        "heads_keep": config.heads_keep,
        **{size: getattr(model, size) for size in SIZES},
        "shape": shape,
        "teacher_pretraining": config.teacher_pretraining,
        "pretraining": config.pretraining,
        "cut": describe_cut(config.start),
        "budget": run.budget if is_student else None,
        "start": describe_start(config.start),
        "loss": config.loss.label,
        "loss_name": config.loss.name,
        "loss_options": compact(config.loss.options),
        "loss_weights": compact(config.loss.loss_weights),
        "logit_temperature": config.loss.logit_temperature,
        "sites": compact(config.loss.sites),
        "layer_map": compact(config.loss.layer_map),
        "replicate": config.replicate,
        "model": compact(model.canonical()),
        "training": compact(_training(config)),
        "decoding": compact(config.decoding and config.decoding.model_dump()),
        "seeds": compact(config.seeds.canonical()),
        "versions": compact(config.versions),
        "data_hash": config.dataset.hash,
    }


def data_facts(data: Mapping[str, Any]) -> dict[str, str | int | None]:
    """The columns DATA_FACTS; None for what is not known."""
    overlap, sha256 = data.get("image_overlap"), data.get("tokenizer_sha256")
    counts = {"split_examples": "examples", "with_image": "with_image", "left_out": "left_out"}
    return {
        "features": data.get("features"),
        "image_overlap": None if overlap is None else describe_overlap(overlap),
        "tokenizer_sha256": None if sha256 is None else sha256[:SHORT_HASH],
        **{column: compact(data[key]) if key in data else None for column, key in counts.items()},
        "answers": data.get("answers"),
    }


def describe_shape(family: str, model: Model, heads_keep: str) -> str:
    """Layers x width, e.g. "6x512". With the heads and `heads_keep` beside it, it tells any two sizes apart.

    The feed-forward size is named where it is not four times the width, the head size where it is what
    `heads_keep` names: else it is the width over the heads. Sides that differ are named with their heads:
    "vision 24x1024, 16 heads; text 12x768, 12 heads".
    """
    if not model.other_sides:
        return _side_shape(model, heads_keep)
    sides = {name: model.side(name) for name in FAMILIES[family].sides}
    return "; ".join(
        f"{name} {_side_shape(side, heads_keep)}, {side.heads} heads" for name, side in sides.items()
    )


def _side_shape(side: Side, heads_keep: str) -> str:
    parts = [f"{side.layers}x{side.width}"]
    if side.feed_forward != 4 * side.width:
        parts.append(f"feed-forward {side.feed_forward}")
    if heads_keep == "head_size":
        parts.append(f"head size {side.head_size}")
    return ", ".join(parts)


def describe_cut(start: Start | None) -> str:
    """Way from a checkpoint to first parameters: "as is" where its model has this very shape, else "inherit
    first", "inherit spread" or "remap"; "random" without a checkpoint.
    """
    if start is None:
        return RANDOM
    if start.cut == "none":
        return AS_IS
    return f"inherit {start.inherit_heads}" if start.cut == "inherit" else start.cut


def describe_start(start: Start | None) -> str:
    """Source of the first parameters: "random", "pretrain run <id>", or checkpoints and their short hash."""
    if start is None:
        return RANDOM
    if start.run_id is not None:
        return f"pretrain run {start.run_id}"
    return f"{', '.join(start.checkpoints)} ({(start.hash or '')[:SHORT_HASH]})"


def describe_limit(dataset: UsedDataset) -> str:
    """Part of the data set that exists for the runs; their training may use less (`examples`)."""
    parts = ["a part of the official files"] if dataset.options.get("subset") else []
    if dataset.limit is not None:
        counts = ", ".join(f"{split} {count}" for split, count in dataset.limit)
        parts.append(f"limited to {counts}")
    return "; ".join(parts) or "no data limit"


def describe_inputs(data: DataSpec) -> str:
    """Phrase for what the model sees of an image by its config, e.g. "pixels: size 48, patch 8".

    A vision model's folder is shown by its name and eight digits of its hash.
    """
    shown = data.inputs.model_dump(exclude={"kind"}, exclude_none=True)
    if data.inputs_hash is not None:
        folder = data.inputs.model_folder
        shown = {key: Path(value).name if value == folder else value for key, value in shown.items()}
        shown["hash"] = data.inputs_hash[:SHORT_HASH]
    details = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in shown.items())
    return f"{data.inputs.kind}: {details}"


def compact(value: Any) -> str:
    """JSON in one line, keys sorted."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def _assistant(taught: Taught | None) -> str | None:
    """Phrase for what stood between teacher and student, e.g. "amad_kl with 4 heads"."""
    assistant = taught and taught.assistant
    return f"{assistant.loss} with {assistant.heads} heads" if assistant else None


def _training(config: RunConfig) -> dict[str, Any]:
    return config.training.model_dump() | config.pretraining_options
