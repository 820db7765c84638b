"""One run from start to end: data, model, training, predictions, scores, status, all in its folder."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from math import ceil

import torch
from torch import nn

from amad_bench.data.pretraining.data import load_pretraining
from amad_bench.data.tasks.data import TaskData
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.losses.kernels.triton_loss import require_triton
from amad_bench.models.checkpoints import (
    checkpoint_weights,
    load_weights,
    save_parameters,
    save_tensors,
    save_weights,
)
from amad_bench.models.cost import flops_per_example
from amad_bench.models.heads import head_partition
from amad_bench.models.settings import settings_of
from amad_bench.plan.run import Run
from amad_bench.runtime import devices
from amad_bench.runtime.compiler import require_compiler
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.locks import exclusive
from amad_bench.runtime.progress import described, phase
from amad_bench.runtime.provenance import provenance
from amad_bench.runtime.ranks import FailedAlone, here, joined
from amad_bench.runtime.results import RESULTS
from amad_bench.runtime.run_folder.folder import RunFolder
from amad_bench.runtime.run_folder.run_record import RunRecord
from amad_bench.runtime.run_folder.status import Status
from amad_bench.training.accumulation import MicroBatch
from amad_bench.training.checkpoints import Checkpoints
from amad_bench.training.distill import Objective
from amad_bench.training.failures import failures_noted
from amad_bench.training.finished import trained_folder, with_weights
from amad_bench.training.flops import task_flops
from amad_bench.training.loop import train
from amad_bench.training.noted import good_weights_kept, note, noted
from amad_bench.training.optim import Trained
from amad_bench.training.phases import in_phase
from amad_bench.training.predict import predict_and_score
from amad_bench.training.pretraining import first_batch, fresh_pretrainer, pretrain
from amad_bench.training.run_model import started_model, trained_model
from amad_bench.training.teacher_outputs import teacher_trace
from amad_bench.training.tensorboard import follower
from amad_bench.training.trained_examples import trained_examples


def train_run(
    run: Run,
    device: str = "auto",
    workers: int = 0,
    *,
    checkpoint_every_s: float = 60.0,
    logging: str = "none",
    start_seconds: float | None = None,
    micro_batch: int | None = None,
    compiled: bool = False,
    ended: Callable[[], str | None] = lambda: None,
) -> str:
    """Trains, decodes the test split, scores; returns the status (one of runtime.errors.STATUSES).

    A pre-training run ends with its weights: there is nothing to score. `device`: one of
    `devices.choices`; `workers`: processes that read images, 0 for none; `logging`: the config's;
    `start_seconds`: what the command took before it came here. None of them changes a number. `micro_batch`:
    examples that are computed at once, None: all of a batch; `compiled`: by torch.compile; with either
    numbers differ by rounding, and in which dropout masks are drawn.
    `ended`: gives the status of this run where another process has brought it to its end; it is asked when
    this one has waited for it, and then nothing is done.
    A run that was interrupted or killed goes on from its latest checkpoint. status.json is written last,
    whatever happened, except for a bug, a UserError or Interrupted, which pass through.
    As one of several ranks (`runtime.ranks`) it trains its share; the first does all the rest. Then LostRank
    and FailedAlone pass through, too.
    """
    used = devices.ready(device)
    folder = RESULTS.run(run.id)
    with joined(used) as ranks, ExitStack() as stack:
        also = follower(logging, folder) if ranks.first else lambda: None
        if ranks.first:
            folder.path.mkdir(parents=True, exist_ok=True)
            # A killed Snakemake can leave a child behind that still trains this run.
            stack.enter_context(exclusive(folder.path))
        if (before := ranks.sent(ended() if ranks.first else None)) is not None:
            return before
        if ranks.first:
            stack.enter_context(described(folder.live, also))
        # DDP cannot begin a step again, not even that of a single rank
        micro = MicroBatch(
            micro_batch, ceil(run.config.training.batch / ranks.world), may_halve=not ranks.together
        )
        return _train_run(run, folder, used, workers, checkpoint_every_s, start_seconds, micro, compiled)


def _train_run(
    run: Run,
    folder: RunFolder,
    used: devices.Device,
    workers: int,
    checkpoint_every_s: float,
    start_seconds: float | None,
    micro: MicroBatch,
    compiled: bool,
) -> str:
    ranks, made_with = here(), provenance(used.name)
    if ranks.first:
        if not _unfinished(run, folder):
            folder.clear()
        folder.forget_halves()
        RunRecord(run.id, run.kind, run.config.canonical(), made_with).write(folder.record)
    checkpoints = Checkpoints(folder.checkpoints, run.id, checkpoint_every_s, made_with, ranks.world)
    print(f"{run.id}: on {f'{ranks.world} x ' if ranks.world > 1 else ''}{used}", flush=True)
    where = used.place
    started, status, energy = time.perf_counter(), Status(ranks=ranks.world), used.energy_joules()
    if start_seconds is not None:
        status.add_seconds("start", start_seconds)
    with failures_noted(status):
        if run.kind == "pretrain":
            _pretrain(run, folder, where, status, checkpoints, micro)
        else:
            _train_and_score(run, folder, where, status, workers, checkpoints, micro, compiled)
    status.wall_seconds = time.perf_counter() - started + checkpoints.seconds_before
    status.peak_memory_mib = used.peak_mib()
    if energy is not None and (taken := used.energy_joules()) is not None:
        status.energy_joules = taken - energy
    if ranks.world > 1 and status.status == "out_of_memory":  # the others may be anywhere
        status.reason += f"; rank {ranks.rank} of {ranks.world}: set micro_batch below {micro.size}"
        status.write(folder.status)
        raise FailedAlone
    spent = ranks.gathered((status.peak_memory_mib, status.energy_joules))
    status.peak_memory_mib = max(peak for peak, _ in spent)
    joules = [own for _, own in spent if own is not None]
    status.energy_joules = sum(joules) if len(joules) == ranks.world else None
    if ranks.first:
        status.write(folder.status)
        folder.forget_checkpoints()
    return status.status


def _unfinished(run: Run, folder: RunFolder) -> bool:
    """Whether the folder holds a part of this very run, and no end of it."""
    if folder.finished or not folder.record.exists():
        return False
    try:
        return RunRecord.read(folder.record).config == run.config.canonical()
    except UserError:
        return False


def _pretrain(
    run: Run,
    folder: RunFolder,
    where: torch.device,
    status: Status,
    checkpoints: Checkpoints,
    micro: MicroBatch,
) -> None:
    with in_phase(status, "data"):
        data = load_pretraining(run.config)
    status.data = data.facts
    data.tokenizer.save(folder.tokenizer)
    with in_phase(status, "model"):
        model = fresh_pretrainer(run.config, data).to(where)
        status.parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
        status.flops_per_example = flops_per_example(model, first_batch(data, run.config, where).arguments)
    print(f"{run.id}: pre-training {run.config.pretraining}", flush=True)

    def keep() -> None:
        weights = model.task_weights()  # pyright: ignore[reportCallIssue]
        save_tensors(weights, folder.checkpoint, head_partition(model), settings_of(model))

    phase("training")
    with good_weights_kept(status, keep), noted(micro, status):
        trained = pretrain(model, data, run.config, where, folder.steps, run.id, checkpoints, micro)
    keep()
    note(trained, status)


def _train_and_score(
    run: Run,
    folder: RunFolder,
    where: torch.device,
    status: Status,
    workers: int,
    checkpoints: Checkpoints,
    micro: MicroBatch,
    compiled: bool,
) -> None:
    with in_phase(status, "data"):
        data = load_task_data(run.config)
    status.data, ranks = data.facts, here()
    if ranks.first:
        data.tokenizer.save(folder.tokenizer)
    with in_phase(status, "model"):
        started = started_model(run, data)
        model = started.model.to(where)
        status.head_map, status.start_weights = started.head_map, started.start_weights
        status.parameters = sum(p.numel() for p in model.parameters())
        status.flops_per_example = task_flops(model, data, run.config.training.batch, where)
    trained = ranks.sent(checkpoints.trained(folder.checkpoint) if ranks.first else None)
    if trained is None:
        kept = good_weights_kept(status, lambda: save_weights(model, folder.checkpoint))
        with kept, noted(micro, status):
            trained = _train(run, model, data, where, status, workers, checkpoints, micro, compiled)
        if ranks.first:
            save_weights(model, folder.checkpoint)
            checkpoints.write_trained(trained, folder.checkpoint)
    else:  # it was interrupted while it predicted
        load_weights(model, checkpoint_weights(folder.checkpoint))
    note(trained, status)
    status.signatures = predict_and_score(run, model, data, where, status, workers)


def score_run(run: Run, device: str = "auto", workers: int = 0) -> str:
    """Decodes and scores a trained run again from its stored weights.

    UserError when it was never trained, and for a pre-training, which predicts nothing.
    """
    where = devices.ready(device).place
    if run.kind == "pretrain":
        raise UserError(f"{run.id}: a pre-training run has no predictions; score the runs that start from it")
    folder = with_weights(trained_folder(run))
    with exclusive(folder.path):  # as in train_run
        before = Status.read(folder.status)
        if before.status == "diverged":
            raise UserError(
                f"{run.id}: {before.status} ({before.reason}), so its scores would be of no whole training; "
                "name another run"
            )
        status = replace(before, status="done", reason="", log_tail=[])
        data = load_task_data(run.config)
        model = trained_model(run.config, data, folder.checkpoint).to(where)
        with failures_noted(status):
            status.signatures = predict_and_score(run, model, data, where, status, workers)
        status.write(folder.status)
    return status.status


def _train(
    run: Run,
    model: nn.Module,
    data: TaskData,
    device: torch.device,
    status: Status,
    workers: int,
    checkpoints: Checkpoints,
    micro: MicroBatch,
    compiled: bool,
) -> Trained:
    config, folder = run.config, RESULTS.run(run.id)
    objective = Objective(config.loss, config.seeds.init)
    print(f"{run.id}: {objective}", flush=True)
    if config.loss.options.get("kernel") == "triton":
        try:
            require_triton(device)
        except ValueError as error:
            raise UserError(str(error)) from None
        if device.type == "cuda":
            require_compiler(device.type, "kernel: triton", "kernel: chunked")
    data = trained_examples(run, data, objective)
    if compiled:
        require_compiler(device.type)
    status.compiled = compiled
    taught = None
    if objective.needs_teacher:
        with in_phase(status, "teacher_outputs"):
            taught = teacher_trace(run, data, objective, device, micro.size, compiled)
    phase("training")
    trained = train(
        model,
        objective,
        data,
        config,
        device,
        folder.steps,
        run.id,
        taught,
        workers,
        checkpoints,
        micro,
        compiled,
    )
    if trained.extra_params and here().first:
        save_parameters(objective, folder.loss_parameters)
    return trained
