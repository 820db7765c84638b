"""Finished runs: scored again, exported, asked for predictions, or for these alone planned again."""

from amad_bench.plan.run import Run
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.results import RESULTS
from amad_bench.runtime.run_folder.folder import RunFolder
from amad_bench.runtime.run_folder.status import Status
from amad_bench.training.checkpoints import Checkpoints
from amad_bench.training.optim import Trained


def trained_folder(run: Run) -> RunFolder:
    """The folder of a run that has ended, however it did; UserError for one that was not trained."""
    folder = RESULTS.run(run.id)
    if not folder.finished:
        raise UserError(f"{folder.path}: this run is not trained; run `amad-bench run --run {run.id}` first")
    return folder


def with_weights(folder: RunFolder) -> RunFolder:
    """The folder of a run that has ended, with weights; UserError where it has none or they were not kept."""
    if folder.checkpoint.exists():
        return folder
    status = Status.read(folder.status)
    if status.usable:
        raise UserError(
            f"{folder.checkpoint}: these weights were not kept (keep_weights); set keep_weights to all, then "
            f"`amad-bench retry {folder.id}` and `amad-bench run --run {folder.id}` make them again"
        )
    raise UserError(
        f"{folder.id}: it failed ({status.status}: {status.reason}), without weights; name another run"
    )


def finished_folder(run: Run) -> RunFolder:
    """The folder of a teacher or student that was trained to its end; UserError for any other run."""
    if run.kind == "pretrain":
        raise UserError(f"{run.id}: a pre-training has no task; name a teacher or student")
    folder = trained_folder(run)
    status = Status.read(folder.status)
    if not status.usable:
        raise UserError(f"{run.id}: it failed ({status.status}: {status.reason}); name another run")
    return folder


def forget_scores(folder: RunFolder) -> bool:
    """Makes a run that has ended one that was trained, and broken off while it predicted.

    False, and nothing is changed, where its weights are gone or its status is not that of a training.
    """
    status = Status.read(folder.status)
    if not (status.usable and status.steps and folder.checkpoint.exists()):
        return False
    trained = Trained(
        best_step=status.best_step or 0,
        steps=status.steps,
        seconds=status.train_seconds or 0.0,
        validation_seconds=(status.seconds or {}).get("validation", 0.0),
        continued=status.continued or 0,
        extra_params=status.extra_params or 0,
        micro_batch=status.micro_batch or 0,
        halved=bool(status.micro_batch_halved),
    )
    Checkpoints(folder.checkpoints, folder.id, 0.0, {}).write_trained(trained, folder.checkpoint)
    for path in (folder.ended, folder.status, folder.predictions, folder.scores):
        path.unlink(missing_ok=True)
    return True
