"""How many panels a page holds, and that nothing runs into anything else."""

import matplotlib
import pytest

from amad_bench.analysis.figures.drawing import STYLE, looks, marked
from amad_bench.analysis.figures.sheet import HEIGHT, WIDTH, finish, pages, sheet


@pytest.mark.parametrize(
    ("panels", "height", "columns", "together", "expected"),
    [
        (0, 2.0, 2, 1, []),
        (1, 2.0, 2, 1, [[0]]),
        (6, 2.0, 2, 1, [[0, 1, 2, 3, 4, 5]]),  # three rows of two inches fit into 6.9
        (7, 2.0, 2, 1, [[0, 1, 2, 3], [4, 5, 6]]),  # no page with six and one with one
        (4, 9.0, 2, 1, [[0, 1], [2, 3]]),  # too high for any page: a row each
        (9, 3.0, 3, 1, [[0, 1, 2, 3, 4], [5, 6, 7, 8]]),
        (10, 2.2, 2, 2, [[0, 1, 2, 3, 4, 5], [6, 7, 8, 9]]),  # pairs stay together
    ],
)
def test_panels_of_pages(panels, height, columns, together, expected):
    assert pages(panels, height, columns, together) == expected


@pytest.mark.parametrize(("panels", "height"), [(1, 2.0), (2, 3.0), (6, 2.25), (5, 2.0)])
def test_no_page_is_larger_than_paper_and_no_text_runs_into_another(panels, height):
    with matplotlib.rc_context(STYLE):
        figure, axes = sheet(panels, height)
        for number, ax in enumerate(axes):
            ax.plot([0, 1000], [0, 1e-3 if number else 1e6])
            ax.set_title(f"{number} VL-T5 · Captioning · 8 → 2 heads")
            ax.set_xlabel("A label that is about as long as they are\nn = 2 seeds × 240 examples")
            ax.set_ylabel("Score (points)")
            ax.set_yticks([0], ["amad_kl − random_alignment"] if number % 2 else ["ce"])
        handles = [marked(name, look) for name, look in looks([f"loss {n}" for n in range(9)]).items()]
        page = finish(figure, "A title", ["A sentence. " * 30, "Another one."], handles)
        width, inches = figure.get_size_inches()
        assert width <= WIDTH
        assert inches <= HEIGHT
        figure.draw_without_rendering()
        boxes = [text.get_window_extent() for ax in axes for text in (ax.xaxis.label, ax.yaxis.label)]
        boxes += [title_of(ax).get_window_extent() for ax in axes]
        boxes += [text.get_window_extent() for text in page.frame]
        boxes.append(figure.legends[0].get_window_extent())
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[number + 1 :])
        assert box.x0 > -1
        assert box.x1 < figure.bbox.x1 + 1


def title_of(ax):
    """The artist of the title at the left."""
    found = [
        part for part in ax.get_children() if getattr(part, "get_text", str)() == ax.get_title(loc="left")
    ]
    return found[0]
