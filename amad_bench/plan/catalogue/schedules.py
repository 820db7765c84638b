"""Schedules: how the learning rate falls after the warm-up."""

from dataclasses import dataclass

from amad_bench.plan.catalogue.options import by_name


@dataclass(frozen=True)
class Schedule:
    """A schedule; its function is `factor` in amad_bench/training/schedules/<name>.py."""

    name: str
    label: str
    version: int = 1


SCHEDULES: dict[str, Schedule] = by_name(
    Schedule("linear", "linear to 0"),
    Schedule("cosine", "half a period of a cosine"),
)
