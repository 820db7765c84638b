"""The time that is left, worked out by hand."""

import pytest

from amad_bench.view.estimate import Speeds, seconds_left


@pytest.fixture
def runs(plan):
    teacher, *students = plan.runs
    by_loss = {"ce": [], "amad_kl": []}
    for run in students:
        by_loss[run.config.loss.label].append(run)
    return teacher, by_loss["ce"], by_loss["amad_kl"]


def test_a_run_takes_as_long_as_those_most_like_it(runs) -> None:
    teacher, ce, amad = runs
    speeds = Speeds([(teacher, 600.0), (ce[0], 60.0), (ce[1], 80.0)])
    assert speeds.expected(ce[0]) == 70.0
    assert speeds.expected(amad[0]) == 70.0  # another loss, but a student of the same task
    assert Speeds([(teacher, 600.0)]).expected(amad[0]) == 600.0
    assert Speeds([]).expected(amad[0]) is None


def test_left_runs_are_shared_by_those_that_work(runs) -> None:
    _, ce, amad = runs
    done = [(ce[0], 60.0), (amad[0], 100.0)]
    left = [ce[1], amad[1], ce[1]]  # 60 + 100 + 60
    assert seconds_left(left, [], done, now=0.0, at_once=1) == 220.0
    assert seconds_left(left, [], done, now=0.0, at_once=2) == 110.0
    assert seconds_left(left, [], done, now=0.0, at_once=50) == 100.0  # no run is split


def test_a_run_that_is_being_trained_is_half_done(runs, make_live) -> None:
    _, ce, _ = runs
    done = [(ce[0], 100.0)]
    live = make_live(since=970.0, step=100, steps=300, steps_per_second=10.0)  # 20 s of steps are left
    assert seconds_left([], [(ce[1], live)], done, now=1000.0, at_once=1) == 70.0
    assert seconds_left([], [(ce[1], live)], done, now=1060.0, at_once=1) == 20.0
    assert seconds_left([], [(ce[1], live)], done, now=2000.0, at_once=1) == 20.0
    assert seconds_left([], [(ce[1], live)], done, now=0.0, at_once=1) == 100.0  # its host's clock is ahead
    assert seconds_left([], [(ce[1], None)], done, now=1000.0, at_once=1) == 100.0


def test_where_nothing_has_ended_the_rate_tells(runs, make_live) -> None:
    _, ce, amad = runs
    live = make_live(since=940.0, updated=1000.0, step=100, steps=300, steps_per_second=10.0)
    # 60 s so far and 20 s to come: a whole run takes 80 s.
    assert seconds_left([amad[0]], [(ce[0], live)], [], now=1000.0, at_once=1) == 100.0
    data = make_live(phase="data", step=0, steps=0, steps_per_second=None)
    assert seconds_left([amad[0]], [(ce[0], data)], [], now=1000.0, at_once=1) is None


def test_nothing_is_left() -> None:
    assert seconds_left([], [], [], now=0.0, at_once=1) == 0.0
