"""The drawing of given facts, against lines that were written by hand."""

import itertools

import pytest

from amad_bench.view.facts import Counts, Facts, Running
from amad_bench.view.screen import screen, text_of, time_left
from tests.view.conftest import live

STUDENT = "vlt5-translation-h8to2-student_mean-none-s01-1a2b3c4d"
OTHER = "blip-vqa-h8to2-ce-none-s01-1a2b3c4e"
COUNTS = {
    ("vlt5 vqa scenes", "teacher"): Counts(planned=1, done=1),
    ("vlt5 vqa scenes", "ce"): Counts(planned=2, done=1, failed=1),
    ("vlt5 vqa scenes", "amad_kl"): Counts(planned=2),
    ("blip vqa own photos", "teacher"): Counts(planned=1, done=1),
    ("blip vqa own photos", "ce"): Counts(planned=12, done=9, failed=2, running=1),
}
FACTS = Facts(
    "tiny",
    COUNTS,
    (Running(STUDENT, live()), Running(OTHER)),
    {"diverged": 2, "out_of_memory": 1},
    interrupted=1,
    seconds_left=420.0,
    at_once=2,
)
WIDE = """\
tiny: 18 planned, 12 done, 3 failed (diverged 2, out_of_memory 1), 1 running, 2 left (1 interrupted)
[####################....]  83 %  about 7 min left, 2 runs at a time
being made: collect, figures

done/all  +running  !failed
         vlt5    blip
         vqa     vqa
         scenes  own
                 photos
teacher  1/1     1/1
ce       1/2 !1  9/12 +1 !2
amad_kl  0/2     -

running                                                      at   loss  steps/s  left
vlt5-translation-h8to2-student_mean-none-s01-1a2b3c4d   100/300  2.346       10  20 s
blip-vqa-h8to2-ce-none-s01-1a2b3c4e                    starting"""
NARROW = """\
tiny: 18 planned, 12 done, 3 failed
(diverged 2, out_of_memory 1), 1
running, 2 left (1 interrupted)
[####################....]  83 %
about 7 min left, 2 runs at a time
being made: collect, figures

done/all  +running  !failed
         vlt5    blip
         vqa     vqa
         scenes  own
                 photos
teacher  1/1     1/1
ce       1/2 !1  9/12 +1 !2
amad_kl  0/2     -

running                        at   loss
vlt5-translati..one-s01   100/300  2.346
blip-vqa-h8to2..one-s01  starting"""
LOW = """\
tiny: 18 planned, 12 done, 3 failed
(diverged 2, out_of_memory 1), 1
running, 2 left (1 interrupted)
[####################....]  83 %
about 7 min left, 2 runs at a time
being made: collect, figures

done/all  +running  !failed
vlt5 vqa scenes      2/5 !1
blip vqa own photos  10/13 +1 !2

running                        at   loss
vlt5-translati..one-s01   100/300  2.346
blip-vqa-h8to2..one-s01  starting"""


def drawn(facts: Facts, width: int, height: int, steps: tuple[str, ...] = ("collect", "figures")) -> str:
    return "\n".join(map(text_of, screen(facts, steps, width, height)))


@pytest.mark.parametrize(
    ("width", "height", "expected"), [(100, 40, WIDE), (40, 40, NARROW), (40, 19, NARROW), (40, 18, LOW)]
)
def test_all_of_it(width: int, height: int, expected: str) -> None:
    assert drawn(FACTS, width, height) == expected


def test_nothing_is_wider_or_higher_than_its_place() -> None:
    for width, height in itertools.product((1, 5, 12, 20, 39, 79, 200), (1, 2, 3, 6, 10, 24)):
        lines = screen(FACTS, ("collect",), width, height)
        assert len(lines) <= height
        assert all(len(text_of(line)) <= width for line in lines), (width, height)


def test_of_many_that_run_some_are_shown_and_the_rest_is_counted() -> None:
    running = tuple(Running(f"run-{number}", live()) for number in range(20))
    counts = {("a b c", "ce"): Counts(planned=20, running=20)}
    text = drawn(Facts("many", counts, running), 79, 14, ())
    assert text.split("\n")[-6:] == [
        "running       at   loss  steps/s  left",
        *(f"run-{number}    100/300  2.346       10  20 s" for number in range(4)),
        "and 16 runs more",
    ]


def test_colours_say_nothing_else() -> None:
    ce = next(line for line in screen(FACTS, (), 100) if text_of(line).startswith("ce"))
    assert [part for part in ce if part.style] == [(" !1", "red"), (" +1", "cyan"), (" !2", "red")]


@pytest.mark.parametrize(
    ("seconds", "at_once", "text"),
    [(None, 1, ""), (0.0, 2, ""), (42.0, 1, "about 42 s left, one run at a time")],
)
def test_time_that_is_not_known_is_not_told(seconds: float | None, at_once: int, text: str) -> None:
    assert time_left(Facts("x", {}, seconds_left=seconds, at_once=at_once)) == text


def test_a_plan_that_is_done() -> None:
    facts = Facts("x", {("a b c", "ce"): Counts(planned=2, done=2)}, seconds_left=0.0)
    assert drawn(facts, 100, 10, ()).split("\n")[:2] == [
        "x: 2 planned, 2 done, 0 failed, 0 left",
        "[########################] 100 %",
    ]
