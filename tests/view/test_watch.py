"""A sweep that is looked at again and again."""

import io
import re

import pytest

from amad_bench.runtime.locks import exclusive
from amad_bench.view import watch as module
from amad_bench.view.terminal import Terminal
from amad_bench.view.watch import Ending, Watched, watch
from tests.run_folders import begin_run, end_run
from tests.view.test_terminal import Emulator, Tty


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watched(plan, results, clock) -> Watched:
    return Watched(plan, results, clock)


def test_runs_that_end_are_told_once(plan, results, watched, clock) -> None:
    first, second, third = plan.runs[:3]
    end_run(first, results)
    assert watched.look()[1] == []  # it had ended before
    end_run(second, results, "diverged", reason="step 3", wall_seconds=12.0)
    end_run(third, results, wall_seconds=100.0)
    clock.sleep(10)
    found, ended = watched.look()
    assert ended == [Ending(second.id, "diverged", "step 3", 12.0), Ending(third.id, "done", "", 100.0)]
    assert [one.line for one in ended] == [
        f"{second.id}: diverged after 12 s: step 3",
        f"{third.id}: done after 2 min",
    ]
    assert (found.total.done, found.total.failed) == (2, 1)
    clock.sleep(10)
    assert watched.look()[1] == []


def test_files_are_read_no_oftener_than_is_cheap(watched, clock, monkeypatch) -> None:
    calls = []

    def slow(*arguments):
        calls.append(clock.now)
        ticks[0] += 3.0  # seconds that reading takes
        return read(*arguments)

    ticks, read = [0.0], module.standing
    monkeypatch.setattr(module, "standing", slow)
    monkeypatch.setattr(module.time, "perf_counter", lambda: ticks[0])
    for _ in range(61):
        watched.look()
        clock.sleep(2)
    assert calls == [1000.0, 1060.0, 1120.0]
    watched.look(fresh=True)
    assert len(calls) == 4


def test_the_most_that_worked_at_once_is_remembered(plan, results, watched, clock) -> None:
    one, two = (begin_run(run, results).path for run in plan.runs[:2])
    with exclusive(one), exclusive(two):
        assert watched.look()[0].at_once == 2
    clock.sleep(10)
    assert watched.look()[0].at_once == 2


def test_a_log_has_a_line_per_run_and_one_a_minute(plan, results, watched, clock) -> None:
    stream, ends = io.StringIO(), {1030.0: plan.runs[0], 1200.0: plan.runs[1]}

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        if (run := ends.pop(clock.now, None)) is not None:
            end_run(run, results)
        if clock.now == 1300.0:
            for run in plan.runs[2:]:
                end_run(run, results, "diverged")

    watch(watched, Terminal(stream, {}), sleep)
    lines = [re.sub(r"^\d\d:\d\d", "TIME", line) for line in stream.getvalue().splitlines()]
    assert lines == [
        "TIME  5 planned, 0 done, 0 failed, 5 left",
        f"{plan.runs[0].id}: done after 60 s",
        "TIME  5 planned, 1 done, 0 failed, 4 left; about 4 min left, one run at a time",
        "TIME  5 planned, 1 done, 0 failed, 4 left; about 4 min left, one run at a time",
        "TIME  5 planned, 1 done, 0 failed, 4 left; about 4 min left, one run at a time",
        f"{plan.runs[1].id}: done after 60 s",
        "TIME  5 planned, 2 done, 0 failed, 3 left; about 3 min left, one run at a time",
        *(f"{run.id}: diverged after 60 s" for run in plan.runs[2:]),
        "TIME  5 planned, 2 done, 3 failed (diverged 3), 0 left",
    ]


def test_a_terminal_is_painted_and_failures_stay(plan, results, watched, clock) -> None:
    stream, shown = Tty(), Emulator(100)

    def sleep(seconds: float) -> None:
        clock.sleep(seconds)
        end_run(plan.runs[0], results, "diverged", reason="step 3")
        for run in plan.runs[1:]:
            end_run(run, results)

    watch(watched, Terminal(stream, {"TERM": "xterm"}, size=lambda: (100, 30)), sleep)
    shown.feed(stream.getvalue())
    assert shown.rows == [
        f"{plan.runs[0].id}: diverged after 60 s: step 3",
        "small: 5 planned, 4 done, 1 failed (diverged 1), 0 left",
        "[########################] 100 %",
        "",
        "done/all  +running  !failed",
        "         vlt5",
        "         vqa",
        "         scenes",
        "teacher  0/1 !1",
        "ce       2/2",
        "amad_kl  2/2",
        "",
    ]
