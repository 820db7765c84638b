"""Titles say what differs, fine print what is alike, once."""

import pandas as pd
import pytest

from amad_bench.analysis.figures.titles import condition, in_points, letter, n_of, titles_and_notes
from tests.analysis.figures.frames import SCORE, SETTING

ROW = SETTING | SCORE


def test_one_panel_has_no_letter_and_all_its_facts_once():
    titles, notes = titles_and_notes([ROW], "teacher_heads")
    assert titles == ["VL-T5 · VQA · 8 → 2 heads"]
    assert notes == [
        "Scenes; no pre-training; students 2x48; 6000 training examples; precision fp32; heads keep the "
        "inner width; no data limit; images: patches."
    ]


def test_what_differs_stands_in_titles_and_what_is_alike_below():
    rows = [ROW, ROW | {"teacher_heads": 12, "pretraining": "vl"}]
    titles, notes = titles_and_notes(rows)
    assert titles == [
        "a  VL-T5 · VQA · 8 → 2 heads · none → none",
        "b  VL-T5 · VQA · 12 → 2 heads · none → vl",
    ]
    assert "pre-training of teacher → of student" in notes[0]
    assert len(notes) == 1


def test_what_a_title_has_no_room_for_is_said_by_letters():
    rows = [
        ROW,
        ROW | {"image_overlap": "train/test 1409"},
        ROW,
        ROW | {"image_overlap": "train/test 7"},
        ROW,
    ]
    rows = [row | {"features": "pixels"} if number > 1 else row for number, row in enumerate(rows)]
    _, notes = titles_and_notes(rows)
    assert notes[1:] == [
        "a–b: images: patches; c–e: images: pixels.",
        "b: images in two splits: train/test 1409; d: images in two splits: train/test 7.",
    ]
    titles, notes = titles_and_notes([ROW, ROW | {"student_heads": 4}], longest=0)
    assert titles == ["a  VL-T5 · VQA", "b  VL-T5 · VQA"]
    assert "a: 8 → 2 heads; b: 8 → 4 heads." in notes


def test_flaws_are_said():
    flawed = ROW | {"warning": "few images", "cut": "inherit first", "student": "small", "budget": "flops"}
    _, (note,) = titles_and_notes([flawed])
    for said in ("few images", "cut: inherit first", "student small 2x48", "equal FLOPs"):
        assert said in note
    assert "regions: crop 8" in titles_and_notes([ROW | {"features": "unknown"}])[1][0]


@pytest.mark.parametrize(("number", "expected"), [(0, "a"), (25, "z"), (26, "aa"), (53, "bb")])
def test_letters(number, expected):
    assert letter(number) == expected


def test_counts():
    rows = pd.DataFrame({"n_seeds": [2, 3], "n_examples": [1000, 1000]})
    assert n_of(rows) == "n = 2–3 seeds × 1,000 examples"
    assert n_of(rows.assign(n_seeds=1)) == "n = 1 seed × 1,000 examples"


def test_axes_and_conditions():
    assert in_points("vqa_accuracy") == "VQA accuracy (points, 0–100)"
    assert in_points("CIDEr") == "CIDEr (points, 0–1000)"
    assert in_points("TER") == "TER (points, 0 or more; less is better)"
    assert in_points("TER", "Difference") == "Difference, TER (points; less is better)"
    assert condition({"pretraining": "vl", "cut": "as is"}) == "vl"
    assert condition({"pretraining": "vl", "cut": "remap"}) == "vl, remap"
