"""A run's model: fresh, started from the weights its config names, or read back once it is trained."""

from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from pydantic import ValidationError
from torch import nn

from amad_bench.data.tasks.data import TaskData
from amad_bench.models.build import build_model
from amad_bench.models.checkpoints import checkpoint_weights, load_weights
from amad_bench.models.family import implementation_of
from amad_bench.models.fresh import require_fresh
from amad_bench.models.start import load_start, read_start, start_of
from amad_bench.models.start_facts import start_facts
from amad_bench.models.weights import Settings
from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.run import Run
from amad_bench.plan.run_config import RunConfig
from amad_bench.plan.task_data import checkpoints_hash
from amad_bench.runtime.errors import RunFailed, UserError
from amad_bench.runtime.results import RESULTS
from amad_bench.runtime.run_folder.folder import RunFolder
from amad_bench.runtime.run_folder.run_record import RunRecord
from amad_bench.runtime.run_folder.status import Status


def fresh_model(config: RunConfig, data: TaskData, settings: Settings = MappingProxyType({})) -> nn.Module:
    """The model of a teacher's or student's config with random weights; settings: of those it will load."""
    source, target = data.train.source_ids_NL.shape[1], data.train.target_ids_NL.shape[1]
    longest = source + max(target, config.answers.max_length) + 1
    positions = implementation_of(FAMILIES[config.family]).positions(config, longest)
    return build_model(config, data.tokenizer, positions, data.images.feature_size, settings)


def trained_model(config: RunConfig, data: TaskData, path: Path) -> nn.Module:
    """The model of a run with the weights that it ended with; UserError for a file that is not theirs."""
    weights = checkpoint_weights(path)
    model = fresh_model(config, data, weights.settings)
    load_weights(model, weights)
    return model


class Started(NamedTuple):
    """A model, and for its run's row what it started from.

    head_map: site -> for each head those it was cut from; start_weights: see `start_facts`; both are {} for
    random weights.
    """

    model: nn.Module
    head_map: dict[str, list[list[int]]]
    start_weights: dict[str, Any]


def started_model(run: Run, data: TaskData) -> Started:
    """The model that a run trains, with its first weights.

    RunFailed("pretraining_failed") where the weights come from a run that did not end well.
    UserError where that run was not trained, and for a run without pre-training that names weights.
    """
    config, start = run.config, run.config.start
    if config.pretraining == "none":
        model = fresh_model(config, data)
        if start is not None:
            named = start.run_id or ", ".join(start.checkpoints)
            raise UserError(
                f"{run.id}: a `none` run starts from random weights, but its start names {named}; set start"
                " to null, or pretraining to the condition of these weights"
            )
        require_fresh(model)
        return Started(model, {}, {})
    start = start_of(config)
    if start.run_id is not None:
        finished_run(run.id, start.run_id, "pre-training", "pretraining_failed")
    elif checkpoints_hash(start.checkpoints) != start.hash:
        raise UserError(f"{', '.join(start.checkpoints)}: changed since {run.id} was planned; plan again")
    weights = read_start(config)
    model = fresh_model(config, data, weights.settings)
    head_map = load_start(model, weights, config)
    return Started(model, head_map, start_facts(weights, model, config))


def teacher_folder(run: Run) -> RunFolder:
    """The folder of a run's trained teacher; RunFailed("teacher_failed") when it did not end well."""
    teacher = run.config.teacher
    if teacher is None or teacher.run_id is None:
        raise ValueError(f"{run.id}: loss {run.config.loss.label} needs a teacher, the run names none")
    return finished_run(run.id, teacher.run_id, "teacher", "teacher_failed")


def recorded_config(folder: RunFolder) -> RunConfig:
    """The config in a run's record; UserError for one that this version does not know."""
    try:
        return RunConfig.model_validate(RunRecord.read(folder.record).config)
    except ValidationError:
        raise UserError(
            f"{folder.record}: another version's config; delete the run's folder and run again"
        ) from None


def finished_run(needed_by: str, run_id: str, role: str, failure: str) -> RunFolder:
    """The folder of a run whose weights can be used.

    RunFailed(failure) where it did not end well, UserError where it has not been trained.
    """
    folder = RESULTS.run(run_id)
    if not folder.finished:
        raise UserError(
            f"{folder.path}: the {role} of {needed_by} is not trained; run `amad-bench run --run {run_id}`"
        )
    status = Status.read(folder.status)
    if not status.usable:
        raise RunFailed(failure, f"{role} {run_id}: {status.status}: {status.reason}")
    return folder
