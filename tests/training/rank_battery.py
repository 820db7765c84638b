"""Trainings on tiny models in float64 without dropout, as one process or as one of several ranks does them.

Started as a rank by test_ranks.py, with a folder: it writes what came out, or what is its own.
"""

import hashlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from amad_bench.data.tasks.data import Answers, TaskData
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.losses.kernels.choice import ENTRIES_AT_ONCE
from amad_bench.models.weights import own_tensors
from amad_bench.plan.catalogue import model_shape
from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import expand
from amad_bench.plan.run import Run
from amad_bench.runtime.devices import CPU
from amad_bench.runtime.ranks import here, joined
from amad_bench.scoring.decode import decode
from amad_bench.scoring.validation import token_accuracy_and_loss
from amad_bench.training import loop
from amad_bench.training.accumulation import MicroBatch
from amad_bench.training.distill import Objective
from amad_bench.training.run_model import started_model
from amad_bench.training.teacher_outputs import OnlineOutputs
from tests.training.conftest import CONFIG
from tests.training.test_every_loss import EQUAL_HEADS, IN_CHUNKS, LINES

BATCH, STEPS = 7, 3  # so that ranks, and their parts, have unequally many examples
LABELS = ["ce", "logit_kd", "amad_kl", *LINES, *EQUAL_HEADS]
ENTRIES = [("vlt5", "translation"), ("blip", "vqa")]
PIECES = (1, 2, 4)
FEW = ("ce", "amad_kl", "amad_projected", "a2d")  # two of them with parameters of their own
DEVICE = torch.device("cpu")


@dataclass
class Came:
    """weights: of model and loss, one after the other; digest: of their bytes; log: the lines of steps."""

    weights: torch.Tensor
    digest: str
    log: str


def battery(
    folder: Path, pieces: tuple[int, ...] = PIECES, labels: Sequence[str] = LABELS
) -> dict[tuple[str, str, str, int], Came]:
    """By family, task, label and the number of parts that a process cuts its share of a batch into."""
    found: dict[tuple[str, str, str, int], Came] = {}
    for family, task, label, data, teacher, student in cases(folder):
        for count in pieces if label in labels else ():
            with patch.dict(ENTRIES_AT_ONCE, {"cpu": 1} if label in IN_CHUNKS else {}):
                found[family, task, label, count] = trained(folder, student, teacher, data, count)
    return found


def cases(folder: Path) -> Iterator[tuple[str, str, str, TaskData, Run, Run]]:
    os.chdir(folder)
    plan = expand(load_config(folder / "battery.yaml"))
    known: dict[tuple[str, str], TaskData] = {}
    for family, task in [*ENTRIES, ("vlt5", "vqa")]:
        for label in ["ce", "amad_kl"] if task == "vqa" and family == "vlt5" else LABELS:
            heads = 4 if label in EQUAL_HEADS else 2
            here_too = [r for r in plan.runs if (r.config.family, r.config.task) == (family, task)]
            (teacher,) = (r for r in here_too if r.kind == "teacher")
            student, *_ = (
                r
                for r in here_too
                if r.kind == "student" and r.config.loss.label == label and r.config.model.heads == heads
            )
            if (family, task) not in known:
                known[family, task] = made_uneven(load_task_data(student.config), task)
            data = known[family, task]
            if label == "amad_projected" and data.train.mostly_padding:
                data = load_task_data(student.config)  # it needs maps of one size
            yield family, task, label, data, teacher, student


def made_uneven(data: TaskData, task: str) -> TaskData:
    """Translations in batches as long as their longest; questions with several answers, or with none."""
    train = data.train
    if task == "translation":
        wide = np.full((len(train), 4 * train.source_ids_NL.shape[1]), train.pad, train.source_ids_NL.dtype)
        wide[:, : train.source_ids_NL.shape[1]] = train.source_ids_NL
        wide[::3, 4:] = train.pad
        train = replace(train, source_ids_NL=wide)
        assert train.mostly_padding
    else:
        counts = np.arange(len(train)) % 3
        indices = np.arange(counts.sum()) % len(train)
        scores = np.array([0.3, 0.6, 0.9, 1.0])[np.arange(counts.sum()) % 4]
        offsets = np.concatenate([[0], np.cumsum(counts)])
        train = replace(train, answers=Answers(np.asarray(train.target_ids_NL), offsets, indices, scores))
    return replace(data, train=train)


def trained(folder: Path, student: Run, teacher: Run, data: TaskData, pieces: int) -> Came:
    config = student.config
    training = config.training.model_copy(update={"batch": BATCH, "steps": STEPS, "evaluations": 1})
    config = config.model_copy(update={"training": training})
    model, taught = (doubled(started_model(run, data).model) for run in (student, teacher))
    objective, trace = Objective(config.loss, config.seeds.init), None
    if objective.needs_teacher:
        shapes = [
            model_shape(c.family, c.task, c.model, sites=objective.sites) for c in (config, teacher.config)
        ]
        objective.choose_layers(*shapes)
        trace = OnlineOutputs(taught.requires_grad_(False), objective).trace
        loop._materialise(objective, model, data, DEVICE, trace, BATCH, BATCH)
    objective.double()
    own = ceil(BATCH / here().world)
    log = folder / f"log{here().rank}of{here().world}.jsonl"
    log.unlink(missing_ok=True)
    loop.train(
        *(model, objective, data, config, DEVICE, log, "", trace),
        micro=MicroBatch(ceil(own / pieces), own),
    )
    tensors = [*own_tensors(model).values(), *own_tensors(objective).values()]
    weights = torch.cat([tensor.detach().double().flatten() for tensor in tensors])
    digest = hashlib.sha256(weights.numpy().tobytes()).hexdigest()
    return Came(weights, digest, log.read_text() if log.exists() else "")


def doubled(model: nn.Module) -> nn.Module:
    """In float64, and so is all that is shown to it."""

    def widen(_module: nn.Module, args: Any, named: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        wide = {
            name: value.double() if torch.is_tensor(value) and value.is_floating_point() else value
            for name, value in named.items()
        }
        return args, wide

    model.double().register_forward_pre_hook(widen, with_kwargs=True)
    return model


def evaluated(folder: Path) -> tuple[Any, list[str]]:
    """What a model of single precision is validated by, and what it predicts, in batches of four."""
    _, _, _, data, _, student = next(cases(folder))
    model = started_model(student, data).model
    numbers = token_accuracy_and_loss(model, data.validation, data.images, DEVICE, 5, ranks=here())
    answers = student.config.answers
    texts = decode(model, data.test, data.images, data.tokenizer, answers, DEVICE, 4, ranks=here())
    return numbers, texts


def write_config(folder: Path) -> None:
    lines = "".join([*LINES.values(), *(f"  - {{name: {name}}}\n" for name in EQUAL_HEADS)])
    text = CONFIG.format(
        rate="1.0e-2",
        temperature=1.0,
        data_seed=0,
        more_losses=lines,
        order_embedding="false",
        pretraining="",
        cut="none",
        precision="fp32",
    )
    text = text.replace("dropout: 0.1", "dropout: 0.0").replace("student: [2]", "student: [2, 4]")
    (folder / "battery.yaml").write_text(text.replace("replicates: 2", "replicates: 1"))


def main() -> None:
    folder, world = Path(sys.argv[1]), os.environ["WORLD_SIZE"]
    torch.set_num_threads(1)
    with joined(CPU) as ranks:
        found = battery(folder) if ranks.world > 1 else battery(folder, (1,), FEW)
        torch.save((found, evaluated(folder)), folder / f"{ranks.rank}of{world}.pt")
