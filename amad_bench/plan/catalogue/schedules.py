"""Schedules: how the learning rate falls after the warm-up."""

from dataclasses import dataclass

from amad_bench.plan.catalogue.options import by_name


@dataclass(frozen=True)
class Schedule:
    """A schedule; its function is `factor` in amad_bench/training/schedules/<name>.py."""

    name: str
    version: int = 1


SCHEDULES: dict[str, Schedule] = by_name(
    Schedule("linear"),
    Schedule("cosine"),
)
