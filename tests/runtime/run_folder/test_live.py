"""live.json: written now and then, readable or simply not known."""

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest

from amad_bench.runtime.run_folder.live import Live, LiveWriter

LIVE = Live("running", "training", 3, 10, 0.5, 1.5, 100.0, 102.0, 7, "here")


class Loss:
    """A loss that counts how often it is asked for its value."""

    def __init__(self, value: float) -> None:
        self.value, self.asked = value, 0

    def item(self) -> float:
        self.asked += 1
        return self.value


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_round_trip(tmp_path: Path) -> None:
    for live in (LIVE, replace(LIVE, state="interrupted", loss=None, steps_per_second=None)):
        live.write(tmp_path / "live.json")
        assert Live.read(tmp_path / "live.json") == live


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        "",
        "{",
        "[]",
        json.dumps(vars(LIVE) | {"state": "done"}),
        json.dumps(vars(LIVE) | {"step": "3"}),
        json.dumps({key: value for key, value in vars(LIVE).items() if key != "pid"}),
    ],
)
def test_what_is_absent_or_damaged_is_not_known(tmp_path: Path, damaged: str | None) -> None:
    path = tmp_path / "live.json"
    if damaged is not None:
        path.write_text(damaged)
    assert Live.read(path) is None


def test_the_loss_is_asked_for_only_when_it_is_written(tmp_path: Path) -> None:
    path, clock, loss = tmp_path / "live.json", Clock(), Loss(0.25)
    writer = LiveWriter(path, clock=clock)
    writer.phase("training")
    for step in range(1, 51):  # ten steps a second: 4.9 s
        clock.now = 100.0 + step / 10
        writer.step(step, 60, loss)
    assert loss.asked == 2
    found = Live.read(path)
    assert found == Live("running", "training", 40, 60, 0.25, 10.0, 100.0, 104.0, os.getpid(), found.host)


def test_a_rate_is_of_steps_alone_and_smooth(tmp_path: Path) -> None:
    """10 steps in 2 s, then 20 in 2 s: 5, then .3 x 10 + .7 x 5."""
    path, clock, loss = tmp_path / "live.json", Clock(), Loss(1.0)
    writer = LiveWriter(path, clock=clock)
    rates = []
    for step, now in ((5, 150.0), (15, 152.0), (35, 154.0)):
        clock.now = now
        writer.step(step, 60, loss)
        rates.append(Live.read(path).steps_per_second)
    assert rates == [None, 5.0, 6.5]


def test_a_clock_that_is_set_back_stops_nothing(tmp_path: Path) -> None:
    path, clock, loss = tmp_path / "live.json", Clock(), Loss(1.0)
    writer = LiveWriter(path, clock=clock)
    found = []
    for step, now in ((5, 150.0), (15, 152.0), (20, 50.0), (40, 52.0)):
        clock.now = now
        writer.step(step, 60, loss)
        found.append((Live.read(path).step, Live.read(path).steps_per_second))
    assert found == [(5, None), (15, 5.0), (20, 5.0), (40, 6.5)]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_no_number(tmp_path: Path, value: float) -> None:
    clock = Clock()
    writer = LiveWriter(tmp_path / "live.json", clock=clock)
    clock.now += 5
    writer.step(1, 2, Loss(value))
    assert Live.read(tmp_path / "live.json").loss is None


def test_phases_and_ends(tmp_path: Path) -> None:
    path, calls = tmp_path / "live.json", []
    writer = LiveWriter(path, lambda: calls.append(path.exists()))
    writer.phase("data")
    assert Live.read(path).phase == "data"
    assert calls == []
    writer.interrupted()
    assert Live.read(path).state == "interrupted"
    writer.ended()
    assert not path.exists()
    assert calls == [True, True]


def test_a_place_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    clock = Clock()
    writer = LiveWriter(tmp_path / "file" / "live.json", clock=clock)
    writer.phase("data")
    clock.now += 5
    writer.step(1, 2, Loss(1.0))
    writer.interrupted()
    writer.ended()
