"""Colours that everyone can tell apart, on white and on black."""

from itertools import combinations

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from amad_bench.analysis.figures.drawing import INK, PALETTE, intervals, looks, spread
from tests.analysis.figures.frames import spans

# Machado, Oliveira and Fernandes (2009), severity 1: what a person without one kind of cone sees.
BLIND = {
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
}


def linear(colour: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def contrast(a: str, b: str) -> float:
    """Of WCAG 2."""
    light = sorted(float(linear(colour) @ [0.2126, 0.7152, 0.0722]) + 0.05 for colour in (a, b))
    return light[1] / light[0]


def test_colours_stand_out_from_white_and_from_near_black():
    for colour in PALETTE:
        assert contrast(colour, "#ffffff") >= 3, colour
        assert contrast(colour, "#121212") >= 3, colour


def test_ink_is_no_colour_of_the_palette_and_black_on_paper():
    assert INK not in PALETTE
    assert contrast(INK, "#ffffff") > 15


def lightness_and_hue(colour: str, matrix: np.ndarray) -> np.ndarray:
    """CIELAB, whose distances are about those that people see."""
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ np.clip(
        matrix @ linear(colour), 0, 1
    )
    x, y, z = np.cbrt(xyz / np.array([0.9505, 1.0, 1.089]))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_the_first_colours_differ_for_colour_blind_eyes_and_the_others_by_their_marks():
    for matrix in (np.eye(3), *map(np.array, BLIND.values())):
        seen = [lightness_and_hue(colour, matrix) for colour in PALETTE[:4]]
        for a, b in combinations(seen, 2):
            assert np.linalg.norm(a - b) > 10
    found = looks([f"loss{number}" for number in range(40)])
    assert len(set(found.values())) == 40


def test_intervals_without_an_end_are_not_drawn():
    ax = Figure().subplots()
    intervals(ax, INK, [0, 1, 2], [1, float("nan"), 3], [2, 5, float("nan")], upright=False)
    assert spans(ax) == [((1.0, 0.0), (2.0, 0.0))]
    intervals(ax, INK, [0], [float("nan")], [1], upright=True)
    assert len(spans(ax)) == 1
    intervals(ax, PALETTE[:3], [0, 1, 2], [1, float("nan"), 3], [2, 5, 4], upright=True)
    assert ax.collections[-1].get_colors().tolist() == [[*to_rgb(PALETTE[n]), 1.0] for n in (0, 2)]


def test_marks_are_spread_around_their_place():
    assert spread(1).tolist() == [0]
    assert np.allclose(spread(3, 0.6), [-0.2, 0, 0.2])
    assert len(spread(0)) == 0
