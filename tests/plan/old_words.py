"""Words of configs before they were renamed: the table that maps a run's config back, and so its id.

Kept while the house is being rebuilt: shipped configs must plan what they did (test_old_words.py).
"""

from typing import Any

from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.plan.run_config import RunConfig, short_hash

WITH_VARIANT = ("student_mean", "random_alignment", "sinkhorn")
PREPARED_THEN = 5  # version of prepared data
RENAMED = {"cells": "tasks", "weights": "loss_weights"}
RENAMED_OF_LOSSES = {"weights": "loss_weights"}
RENAMED_OF_SIZES = {"weights": "checkpoints", "init": "cut"}


def renamed(old: dict[str, Any]) -> dict[str, Any]:
    """A config file of then in the words of now."""
    new = _with(old, RENAMED)
    if "fix" in new:
        new["heads"] = {**new["heads"], "keep": new.pop("fix")}
    new["models"] = {family: _renamed_models(entry) for family, entry in old["models"].items()}
    new["losses"] = [
        _with(loss, RENAMED_OF_LOSSES | ({"variant": "distance"} if loss["name"] in WITH_VARIANT else {}))
        for loss in old["losses"]
    ]
    return new


def _renamed_models(entry: dict[str, Any]) -> dict[str, Any]:
    new = {role: _renamed_size(size) for role, size in entry.items() if role in ("teacher", "student")}
    if "students" in entry:
        new["students"] = {name: _renamed_size(size) for name, size in entry["students"].items()}
    return entry | new


def _renamed_size(size: dict[str, Any]) -> dict[str, Any]:
    new = _with(size, RENAMED_OF_SIZES)
    return new | {"cut": "none"} if new.get("cut") == "random" else new


def _with(mapping: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in mapping.items()}


def old_canonical(config: RunConfig, old_ids: dict[str, str]) -> dict[str, Any]:
    """The canonical config as it was; old_ids: of the runs that it names, by their new ids."""
    new = config.canonical()
    assert new["precision"] == "fp32"  # then there was no other
    dataset, tokenizer, model, loss = (dict(new[key]) for key in ("dataset", "tokenizer", "model", "loss"))
    if dataset["hash"] is None:  # of a plan without data
        del dataset["hash"]
    inputs = {key: value for key, value in new["inputs"].items() if value is not None}
    if new["inputs_hash"] is not None:
        inputs["hash"] = new["inputs_hash"]
    del model["other_sides"]
    model |= {key: value for key, value in model.pop("options").items() if key != "token_types"}
    loss["weights"] = loss.pop("loss_weights")
    assert not loss["options"].get("query_rows")
    loss["options"] = {k: v for k, v in loss["options"].items() if k not in ("kernel", "query_rows")}
    if loss["name"] in WITH_VARIANT:
        loss["options"] = {
            "variant" if key == "distance" else key: value for key, value in loss["options"].items()
        }
    training = dict(new["training"])
    training |= new["pretraining_options"]
    return {
        **{
            key: value
            for key, value in new.items()
            if key not in ("precision", "heads_keep", "inputs_hash", "pretraining_options", "block")
        },
        "dataset": dataset,
        "inputs": inputs,
        "tokenizer": {key: value for key, value in tokenizer.items() if value is not None},
        "fix": new["heads_keep"],
        "model": model,
        "start": _old_start(new["start"], old_ids),
        "teacher": _old_teacher(new["teacher"], old_ids),
        "loss": loss,
        "training": training,
        "versions": {
            name: PREPARED_THEN if name == "prepared" else own
            for name, own in new["versions"].items()
            if not name.startswith("schedule:")
        },
    }


def _old_start(start: dict[str, Any] | None, old_ids: dict[str, str]) -> dict[str, Any] | None:
    if start is None:
        return None
    cut = "random" if start["cut"] == "none" else start["cut"]
    old = {"init": cut, "inherit_heads": start["inherit_heads"]}
    if start["run_id"] is not None:
        return old | {"run_id": old_ids[start["run_id"]]}
    known = {} if start["hash"] is None else {"hash": start["hash"]}
    return old | {"weights": start["checkpoints"]} | known


def _old_teacher(teacher: dict[str, Any] | None, old_ids: dict[str, str]) -> dict[str, Any] | None:
    if teacher is None:
        return None
    old = {key: value for key, value in teacher.items() if key != "outputs"}
    return old if old["run_id"] is None else old | {"run_id": old_ids[old["run_id"]]}


def old_ids(plan: Plan) -> list[str]:
    """The ids of then; runs that are named come first in a plan.

    A student without a teacher was trained once for each condition of its block's teachers.
    """
    found: list[str] = []
    by_new: dict[str, str] = {}
    for run in plan.runs:
        for config in _unshared(run, plan):
            by_new[run.id] = f"{config.id_prefix}-{short_hash(old_canonical(config, by_new))}"
            found.append(by_new[run.id])
    return found


def _unshared(run: Run, plan: Plan) -> list[RunConfig]:
    config = run.config
    if config.teacher is None or config.teacher_pretraining is not None:
        return [config]
    where = (config.family, config.task, config.dataset.name, config.teacher.heads)
    taught = [other.config for other in plan.runs if other.kind == "teacher"]
    conditions = [
        other.pretraining
        for other in taught
        if (other.family, other.task, other.dataset.name, other.model.heads) == where
    ]
    return [config.model_copy(update={"teacher_pretraining": condition}) for condition in conditions]
