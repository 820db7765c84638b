"""One more metric, or another primary one, for as long as a test needs it."""

from collections.abc import Iterator
from contextlib import contextmanager

from amad_bench.plan.catalogue import METRICS, Metric


@contextmanager
def first_metric(*records: Metric) -> Iterator[None]:
    """The catalogue with these metrics before all others: the first one that fits is the primary one."""
    before = dict(METRICS)
    METRICS.clear()
    METRICS.update({record.name: record for record in records} | before)
    try:
        yield
    finally:
        METRICS.clear()
        METRICS.update(before)
