"""A plan as text for people: what is asked for, and how much of it is done."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from statistics import mean
from typing import Any

from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.plan.standing import INTERRUPTED, RUNNING, standing
from amad_bench.runtime.errors import STATUSES
from amad_bench.runtime.results import RESULTS


def overview(plan: Plan) -> str:
    """Counts of runs per setting and loss, limits of the data, and what is skipped with its reason."""
    kinds = Counter(run.kind for run in plan.runs)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    conditions = _teachers_conditions(plan)
    for run in plan.runs:
        what = run.config.loss.label if run.kind == "student" else run.kind
        counts[_setting(run, conditions)][what] += 1
    columns = list(dict.fromkeys(label for row in counts.values() for label in row))
    rows = [[setting, *(row[column] or "-" for column in columns)] for setting, row in counts.items()]
    datasets = {run.config.dataset.name: run.config.dataset for run in plan.runs}
    by_kind = f"{kinds['teacher']} teachers, {kinds['student']} students"
    if kinds["pretrain"]:
        by_kind = f"{kinds['pretrain']} pre-trainings, {by_kind}"
    lines = [f"{plan.name}: {len(plan.runs)} runs ({by_kind})", ""]
    lines += aligned([["setting", *columns], *rows])
    for name, dataset in datasets.items():
        if dataset.options.get("subset"):
            lines.append(f"{name}: its files may be a part of the official ones (subset: true)")
        if dataset.limit is not None:
            counted = ", ".join(f"{split} {count}" for split, count in dataset.limit)
            lines.append(f"only a part of {name} is used: {counted}")
    if plan.skipped:
        lines += ["", f"{len(plan.skipped)} combinations skipped:"]
        lines += [f"  {skip.setting}: {skip.reason}" for skip in plan.skipped]
    return "\n".join(lines)


_Conditions = dict[tuple[str, str, str, int], dict[str, None]]  # by family, task, data set, heads; ordered


def _teachers_conditions(plan: Plan) -> _Conditions:
    found: _Conditions = defaultdict(dict)
    for run in plan.runs:
        if run.kind == "teacher":
            where = (run.config.family, run.config.task, run.config.dataset.name, run.config.model.heads)
            found[where][run.config.pretraining] = None
    return found


def _setting(run: Run, conditions: _Conditions) -> str:
    """A setting; of several settings, which share a student without a teacher, "any" stands for theirs.

    conditions: of the plan's teachers.
    """
    config = run.config
    name, heads = f"{config.family} {config.task} {config.dataset.name}", config.model.heads
    if run.kind == "pretrain":
        return f"{name} {heads} heads{_of_block(run)}, {config.pretraining}"
    if config.teacher is None:
        name = f"{name} {heads} heads{_of_block(run)}"
        return name if config.pretraining == "none" else f"{name}, {config.pretraining}"
    taught_after = config.teacher_pretraining
    if taught_after is None:
        known = conditions[config.family, config.task, config.dataset.name, config.teacher.heads]
        taught_after = next(iter(known)) if len(known) == 1 else "any"
    name = f"{name} {config.teacher.heads} -> {heads} heads"
    if run.student_name:
        name += f" ({run.student_name})"
    if config.block is not None and config.block.student_heads != heads:
        name += _of_block(run)
    pretraining = (taught_after, config.pretraining)
    return name if pretraining == ("none", "none") else f"{name}, {' -> '.join(pretraining)}"


def _of_block(run: Run) -> str:
    return f" of {run.config.block.pair}" if run.config.block is not None else ""


def aligned(rows: Sequence[Sequence[Any]]) -> list[str]:
    """The first column to the left, the others to the right."""
    widths = [max(len(str(value)) for value in column) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [
                str(row[0]).ljust(widths[0]),
                *(str(value).rjust(width) for value, width in zip(row[1:], widths[1:], strict=True)),
            ]
        )
        for row in rows
    ]


def progress_report(plan: Plan) -> str:
    """Numbers of runs done, failed and left, and the time that these need by the times of the others."""
    standings = standing(plan, RESULTS)
    statuses = {name: own.status for name, own in standings.items() if own.status is not None}
    seconds = {name: status.wall_seconds or 0.0 for name, status in statuses.items()}
    counts = Counter(own.state for own in standings.values())
    failed = {name: counts[name] for name in STATUSES[1:] if counts[name]}
    details = f" ({', '.join(f'{name} {count}' for name, count in failed.items())})" if failed else ""
    left = [run for run in plan.runs if standings[run.id].left]
    begun = ", ".join(f"{name} {counts[name]}" for name in (RUNNING, INTERRUPTED) if counts[name])
    failures = f"{sum(failed.values())} failed{details}"
    lines = [f"{len(plan.runs)} planned, {counts['done']} done, {failures}, {len(left)} left"]
    lines[0] += f" ({begun})" if begun else ""
    if left and seconds:
        done = [run for run in plan.runs if standings[run.id].state == "done"]
        estimate = sum(_expected_seconds(run, done, seconds) for run in left)
        lines.append(
            f"about {_duration(estimate)} of work left for one process; n in parallel take 1/n of it"
        )
    return "\n".join(lines)


def _expected_seconds(run: Run, done: Iterable[Run], seconds: dict[str, float]) -> float:
    """The mean of finished runs that are like this one in kind, family and task; if there is none, of all."""

    def likeness(other: Run) -> tuple[bool, ...]:
        theirs, own = other.config, run.config
        return (other.kind == run.kind, theirs.family == own.family, theirs.task == own.task)

    groups: dict[tuple[bool, ...], list[float]] = defaultdict(list)
    for other in done:
        groups[likeness(other)].append(seconds[other.id])
    return mean(groups[max(groups)]) if groups else mean(seconds.values())


def _duration(seconds: float) -> str:
    minutes = seconds / 60
    return (
        f"{minutes / 60:.1f} h"
        if minutes >= 90
        else f"{minutes:.0f} min"
        if minutes >= 1.5
        else f"{seconds:.0f} s"
    )
