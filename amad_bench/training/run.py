"""One run from start to end: data, model, training, predictions, scores, status, all in its folder."""

import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from amad_bench.data.batches import text_batch
from amad_bench.data.prepare import load_task_data
from amad_bench.data.pretraining import load_pretraining
from amad_bench.data.task_data import TaskData
from amad_bench.models.checkpoints import save_parameters, save_tensors, save_weights
from amad_bench.models.cost import EXAMPLES, flops_per_example
from amad_bench.models.heads import head_partition
from amad_bench.models.settings import settings_of
from amad_bench.plan.run import Run
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import write_json_atomic
from amad_bench.runtime.locks import exclusive
from amad_bench.runtime.paths import run_dir
from amad_bench.runtime.provenance import provenance
from amad_bench.runtime.status_file import read_status
from amad_bench.training.distill import Objective
from amad_bench.training.loop import train
from amad_bench.training.optim import Trained
from amad_bench.training.predict import predict_and_score
from amad_bench.training.pretraining import first_batch, fresh_pretrainer, pretrain
from amad_bench.training.run_model import finished_teacher, started_model, trained_model
from amad_bench.training.status import RunStatus, peak_memory_mib
from amad_bench.training.teacher_cache import TeacherOutputs

RESULTS = (
    "steps.jsonl",
    "predictions.jsonl",
    "scores.parquet",
    "model.safetensors",
    "loss.safetensors",
    "tokenizer.json",
)


def train_run(run: Run, device: str = "auto", workers: int = 0) -> str:
    """Trains, decodes the test split, scores; returns the status (one of runtime.errors.STATUSES).

    A pre-training run ends with its weights: there is nothing to score. `device`: "auto" (CUDA where there is
    one), "cpu" or "cuda"; `workers`: processes that read images, 0 for none, which changes no number.
    status.json is written last, whatever happened, except for a bug or a UserError, which pass through.
    """
    where = _device(device)
    folder = run_dir(run.id)
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder):  # a killed Snakemake can leave a child behind that still trains this run
        return _train_run(run, folder, where, workers)


def _train_run(run: Run, folder: Path, where: torch.device, workers: int) -> str:
    for name in ("status.json", *RESULTS):  # a run that fails now must not keep an older one's results
        (folder / name).unlink(missing_ok=True)
    write_json_atomic(
        folder / "run.json",
        {"id": run.id, "kind": run.kind, "config": run.config, "provenance": provenance(str(where))},
    )
    status = RunStatus()
    with status.failures():
        if run.kind == "pretrain":
            _pretrain(run, folder, where, status)
        else:
            _train_and_score(run, folder, where, status, workers)
    status.facts["wall_seconds"] = time.perf_counter() - status.started
    status.facts["peak_memory_mib"] = peak_memory_mib(where)
    write_json_atomic(folder / "status.json", status.facts)
    return status.facts["status"]


def _pretrain(run: Run, folder: Path, where: torch.device, status: RunStatus) -> None:
    data = load_pretraining(run.config)
    status.facts["data"] = data.facts
    data.tokenizer.save(folder / "tokenizer.json")
    model = fresh_pretrainer(run.config, data).to(where)
    status.facts["parameters"] = sum(p.numel() for p in model.parameters() if p.requires_grad)
    status.facts["flops_per_example"] = flops_per_example(
        model, first_batch(data, run.config, where).arguments
    )
    print(f"{run.id}: pre-training {run.config['pretraining']}", flush=True)
    trained = pretrain(model, data, run.config, where, folder / "steps.jsonl", run.id)
    weights = model.task_weights()  # pyright: ignore[reportCallIssue]
    save_tensors(weights, folder / "model.safetensors", head_partition(model), settings_of(model))
    _note(trained, status)


def _train_and_score(run: Run, folder: Path, where: torch.device, status: RunStatus, workers: int) -> None:
    data = load_task_data(run.config)
    status.facts["data"] = data.facts
    data.tokenizer.save(folder / "tokenizer.json")
    model, started_from = started_model(run, data)
    model = model.to(where)
    status.facts |= started_from
    status.facts["parameters"] = sum(p.numel() for p in model.parameters())
    status.facts["flops_per_example"] = _flops(model, data, run.config["training"]["batch"], where)
    trained = _train(run, model, data, where, status, workers)
    save_weights(model, folder / "model.safetensors")
    _note(trained, status)
    status.facts["signatures"] = predict_and_score(run, model, data, where, workers)


def _note(trained: Trained, status: RunStatus) -> None:
    status.facts |= {
        "train_seconds": trained.seconds,
        "steps": trained.steps,
        "best_step": trained.best_step,
    }


def _flops(model: nn.Module, data: TaskData, batch: int, device: torch.device) -> int:
    """Of one example, as long as it is in a batch of the training split; few of its images are read."""
    rows = np.arange(min(batch, len(data.train)))
    images = data.images.batch(data.train.image_rows_N[rows[:EXAMPLES]], device)
    few = text_batch(data.train, rows, device).first(EXAMPLES).with_images(images)
    return flops_per_example(model, {**few.inputs, "labels": few.labels_BL})


def score_run(run: Run, device: str = "auto", workers: int = 0) -> str:
    """Decodes and scores a trained run again from its stored weights.

    UserError when it was never trained, and for a pre-training, which predicts nothing.
    """
    where = _device(device)
    folder = run_dir(run.id)
    if run.kind == "pretrain":
        raise UserError(f"{run.id}: a pre-training run has no predictions; score the runs that start from it")
    if not (folder / "status.json").is_file():
        raise UserError(f"{folder}: this run is not trained; run `amad-bench run --run {run.id}` first")
    with exclusive(folder):  # as in train_run
        status = RunStatus(read_status(folder) | {"status": "done", "reason": "", "log_tail": []})
        data = load_task_data(run.config)
        model = trained_model(run.config, data, folder / "model.safetensors").to(where)
        with status.failures():
            status.facts["signatures"] = predict_and_score(run, model, data, where, workers)
        write_json_atomic(folder / "status.json", status.facts)
    return status.facts["status"]


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("device: cuda was asked for, but torch sees no CUDA device; use device: auto or cpu")
    if name == "cpu":  # the number of threads changes the last bits, and small tensors are slower with two
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    return torch.device(name)


def _train(
    run: Run, model: nn.Module, data: TaskData, device: torch.device, status: RunStatus, workers: int
) -> Trained:
    config = run.config
    loss = config["loss"]
    objective = Objective(loss, config["seeds"]["init"])
    print(f"{run.id}: {objective}", flush=True)
    examples = config["training"]["examples"]
    if examples != "all":
        if examples > len(data.train):
            raise UserError(
                f"training.examples of {run.id}: {examples} asked for, the training split has "
                f"{len(data.train)}; lower it or write all"
            )
        data = replace(data, train=data.train.first(examples))
    if loss["options"].get("variant") == "projected" and data.train.mostly_padding:
        varying = [site for site in objective.sites if site != "vision.self"]
        if varying:
            raise UserError(
                f"loss {loss['label']} needs maps of one size, but at {varying[0]} the batches of "
                f"{config['dataset']['name']} have lengths of their own; use kl, mse or token"
            )
    teacher_trace = None
    if objective.needs_teacher:
        teacher = finished_teacher(run, data).to(device)
        outputs = TeacherOutputs(
            teacher,
            data.train,
            data.images,
            objective.sites,
            device,
            config["training"]["batch"],
            objective.needs_hidden,
        )
        teacher_trace = outputs.trace
    trained = train(
        model=model,
        objective=objective,
        data=data,
        options=config["training"],
        seeds=config["seeds"],
        device=device,
        log_path=run_dir(run.id) / "steps.jsonl",
        teacher_trace=teacher_trace,
        description=run.id,
        draw_answers=(config["family"], config["task"]) == ("vlt5", "vqa"),
        workers=workers,
    )
    status.facts["extra_params"] = sum(p.numel() for p in objective.parameters())
    if status.facts["extra_params"]:
        save_parameters(objective, run_dir(run.id) / "loss.safetensors")
    return trained
