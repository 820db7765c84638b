"""Whether the parts of `grid` are parts of what the config says."""

from collections.abc import Iterator

from amad_bench.plan.config.schema import Config
from amad_bench.plan.shown import unknown


def check_grid(config: Config) -> Iterator[str]:
    """Messages about `grid`; values of data, models and heads are compared with those of all its tasks."""
    pairs = [
        [of_teacher, of_student]
        for entry in config.tasks
        if (model := config.models.get(entry.family)) is not None
        for of_teacher in config.heads_of(entry.family, "teacher", model.teacher)
        for size in model.student_sizes.values()
        for of_student in config.heads_of(entry.family, "student", size)
    ]
    known: dict[str, list[str]] = {
        "families": [entry.family for entry in config.tasks],
        "tasks": [entry.task for entry in config.tasks],
        "teacher_pretraining": config.pretraining.teacher,
        "student_pretraining": config.pretraining.student,
        "losses": [entry.shown_label for entry in config.losses],
        "budgets": [*config.budgets],
    }
    for index, part in enumerate(config.grid):
        for pair in part.heads or ():
            if pair not in pairs:
                yield f"grid[{index}].heads: {pair} is no pair of the swept `heads`, [teacher's, student's]"
        for key, values in known.items():
            for value in getattr(part, key) or ():
                if value not in values:
                    names = list(dict.fromkeys(values))
                    yield f"grid[{index}].{key}: {unknown('value of this config', value, names)}"
