"""A plan as text for people: what is asked for."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run


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
    if shares := _steps_at_equal_flops(plan):
        lines.append(f"steps at equal FLOPs, of those of ce: {', '.join(shares)}")
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
    if pretraining != ("none", "none"):
        name += f", {' -> '.join(pretraining)}"
    return f"{name}, equal FLOPs" if run.budget == "flops" else name


def _steps_at_equal_flops(plan: Plan) -> list[str]:
    """Shares of the config's steps by loss, the least and the largest, e.g. "amad_kl 91-93%"."""
    asked: dict[tuple[object, ...], int] = {}
    found: dict[str, list[float]] = defaultdict(list)
    for run in plan.runs:
        config, steps = run.config, run.config.training.steps
        of_entry = (config.family, config.task, config.dataset.name)
        if run.kind == "student" and run.budget != "flops":
            asked[of_entry] = steps
        elif run.budget == "flops":
            found[config.loss.label].append(steps / asked[of_entry])
    spans = {label: f"{min(own):.0%}-{max(own):.0%}" for label, own in found.items()}
    return [f"{label} {span.replace('%-', '-')}" for label, span in spans.items()]


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
