"""The figures: what is drawn, where, and that equal tables give equal bytes."""

import re

import matplotlib
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from amad_bench.analysis.collect import collect
from amad_bench.analysis.drawing import STYLE, grid, looks, pages, write_figure
from amad_bench.analysis.figures import _head_gap_figure, _losses_figure, figures
from amad_bench.analysis.tables.results import results_table

LOSSES = ["ce", "logit_kd", "one_to_one", "student_mean", "amad_kl"]


@pytest.fixture(scope="module")
def results(fake_results):
    tables = collect(*fake_results)
    return results_table(tables)


@pytest.fixture
def drawn(results):
    return results[results["primary"]]


def marks(ax):
    """(x, y) of all points with a marker."""
    return [
        (line.get_xdata()[0], line.get_ydata()[0])
        for line in ax.lines
        if line.get_marker() not in ("None", None, "")
    ]


def test_four_files_with_equal_bytes(results, tmp_path):
    paths = figures(results, tmp_path / "a")
    assert sorted(path.name for path in paths) == ["head_gap.pdf", "head_gap.png", "losses.pdf", "losses.png"]
    for path, again in zip(paths, figures(results, tmp_path / "b"), strict=True):
        assert path.read_bytes() == again.read_bytes()
    assert paths[0].read_bytes().startswith(b"%PDF")
    with Image.open(tmp_path / "a" / "losses.png") as image:
        assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 50


def text_size(figure):
    """Of a figure's titles in points, when it is shown on a page of the paper, 16.6 x 21.8 cm."""
    width, height = figure.get_size_inches() * 2.54
    return 8.5 * min(16.6 / width, 21.8 / height)


def test_many_panels_stand_on_pages_of_one_family_and_task_that_can_be_read(results, tmp_path, monkeypatch):
    """As many as configs/pretraining.yaml has, and more: two of five settings in 16 conditions."""
    shown = []
    monkeypatch.setattr(
        "amad_bench.analysis.figures.write_figure",
        lambda figures, path: shown.append(figures) or write_figure(figures, path),
    )
    often = results[(results["family"] == "blip")]
    many = [often.assign(cut=f"condition {number}") for number in range(16)]
    paths = figures(pd.concat([results[results["family"] != "blip"], *many]), tmp_path)
    assert [path.name for path in paths] == ["losses.pdf", "losses.png", "head_gap.pdf", "head_gap.png"]
    for figure_pages, pdf, png in zip(shown, paths[::2], paths[1::2], strict=True):
        names = [[ax.get_title().split(", Scenes")[0] for ax in figure.axes] for figure in figure_pages]
        assert names == [
            *(["VL-T5, VQA"], ["VL-T5, Captioning"], ["VL-T5, Translation"]),
            *(["BLIP, VQA"] * 8, ["BLIP, VQA"] * 8),
            *(["BLIP, Captioning"] * 8, ["BLIP, Captioning"] * 8),
        ]
        assert min(text_size(figure) for figure in figure_pages) > 5
        assert len(re.findall(rb"/Type /Page\b", pdf.read_bytes())) == 7
        assert figure_pages[0].get_suptitle() == f"Page 1 of 7; all of them are in {pdf.name}"
        with Image.open(png) as image:
            assert image.height < 1200  # of one panel


@pytest.mark.parametrize(
    ("topics", "height", "expected"),
    [
        ("", 2.9, [[]]),
        ("a" * 13, 1.0, [[*range(7)], [*range(7, 13)]]),  # twelve are the most, however small
        ("abcabcabcabc", 2.9, [[*range(12)]]),  # four rows of three fit into 14 inches
        ("a" * 6 + "b" * 7, 2.9, [[*range(6)], [*range(6, 13)]]),
        ("ab" * 6 + "a", 2.9, [[0, 2, 4, 6, 8, 10, 12], [1, 3, 5, 7, 9, 11]]),
        ("a" * 13, 2.9, [[*range(7)], [*range(7, 13)]]),
        ("aaaa", 9.0, [[0, 1], [2, 3]]),  # a row of three
        ("aaaa", 20.0, [[0, 1], [2, 3]]),  # too high for any page
    ],
)
def test_panels_of_pages(topics, height, expected):
    assert pages(topics, height) == expected


@pytest.mark.parametrize("height", [1.0, 2.9, 4.0, 4.6, 6.9, 13.0])
def test_every_page_that_is_full_can_be_read(height):
    (full, *_) = pages(["a"] * 100, height)
    for panels in range(1, len(full) + 1):
        figure, axes = grid(panels, height)
        assert len(axes) == panels
        assert text_size(figure) > 5


def test_losses_figure(drawn):
    with matplotlib.rc_context(STYLE):
        figure = _losses_figure(drawn, looks(LOSSES))
    assert len(figure.axes) == 5
    vqa, captioning = figure.axes[:2]
    assert [tick.get_text() for tick in vqa.get_yticklabels()] == LOSSES
    assert vqa.get_xlabel() == "VQA accuracy (points, 0–100)"
    assert captioning.get_xlabel() == "CIDEr (points, 0–1000)"
    assert vqa.get_title().splitlines()[:2] == [
        "VL-T5, VQA, Scenes, 8 → 2 heads, student 2x48",
        "6000 training examples; no data limit",
    ]
    expected = drawn.query("family == 'vlt5' and task == 'vqa'").set_index("loss")["mean"]
    assert [x for x, _ in marks(vqa)] == expected[LOSSES].tolist()
    assert expected["teacher"] in [line.get_xdata()[0] for line in vqa.lines]  # the dashed line


def test_head_gap_figure_with_one_gap(drawn):
    with matplotlib.rc_context(STYLE):
        figure = _head_gap_figure(drawn, looks(LOSSES))
    ax = figure.axes[0]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["8 → 2"]
    assert ax.get_xlabel() == "Heads (teacher → student)"
    assert len(marks(ax)) == len({x for x, _ in marks(ax)}) == 5  # side by side


def test_head_gap_figure_puts_the_smallest_gap_first(fake, tmp_path):
    plan = fake.plan(tasks=(("vlt5", "vqa"),), losses=("ce", "amad_kl"), gaps=((8, 2), (8, 4), (2, 2)))
    for run in plan.runs:
        fake.write(tmp_path, run)
    tables = collect(plan, tmp_path)
    results = results_table(tables)
    with matplotlib.rc_context(STYLE):
        figure = _head_gap_figure(results[results["primary"]], looks(["ce", "amad_kl"]))
    (ax,) = figure.axes
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["2 → 2", "8 → 4", "8 → 2"]
    assert len(marks(ax)) == 6


def test_students_of_other_shapes_and_cuts_have_panels_of_their_own(drawn):
    plain = drawn.query("family == 'vlt5' and task == 'vqa'")
    sizes = [plain.assign(student_shape=shape) for shape in ("2x48", "6x512")]
    sizes.append(plain.assign(pretraining="vl", cut="inherit first"))
    for draw, heads in ((_losses_figure, ", 8 → 2 heads"), (_head_gap_figure, "")):
        with matplotlib.rc_context(STYLE):
            titles = [ax.get_title().splitlines() for ax in draw(pd.concat(sizes), looks(LOSSES)).axes]
        assert [title[0] for title in titles] == [
            f"VL-T5, VQA, Scenes{heads}, student {shape}" for shape in ("2x48", "6x512", "2x48")
        ]
        assert " ".join(titles[2][1:3]) == (
            "pre-training none → vl; cut: inherit first; 6000 training examples; no data limit"
        )


def test_titles_name_a_student_where_there_are_several_and_no_cut_where_there_is_none(drawn):
    plain = drawn.query("family == 'vlt5' and task == 'vqa'")
    for draw, heads in ((_losses_figure, ", 8 → 2 heads"), (_head_gap_figure, "")):
        with matplotlib.rc_context(STYLE):
            (ax,) = draw(plain.assign(student="small", pretraining="vl", cut="as is"), looks(LOSSES)).axes
        assert " ".join(ax.get_title().splitlines()[:-1]) == (
            f"VL-T5, VQA, Scenes{heads}, student small 2x48 "
            "pre-training none → vl; 6000 training examples; no data limit"
        )


def test_losses_without_a_score_are_absent(fake, tmp_path):
    plan = fake.plan(tasks=(("vlt5", "vqa"),), limit={"train": 2000, "validation": 200, "test": 300})
    for run in plan.runs:
        fake.write(tmp_path, run, status="diverged" if "student_mean" in run.id else "done")
    tables = collect(plan, tmp_path)
    results = results_table(tables)
    with matplotlib.rc_context(STYLE):
        figure = _losses_figure(results[results["primary"] & results["mean"].notna()], looks(LOSSES))
    (ax,) = figure.axes
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [
        loss for loss in LOSSES if loss != "student_mean"
    ]
    assert "limited to train 2000, validation 200, test 300" in " ".join(ax.get_title().split())
    figures(results, tmp_path / "figures")


def test_what_was_seen_and_shared_images_and_warnings_are_in_the_title(drawn):
    flaws = {"features": "36 regions", "image_overlap": "train/test 1409", "warning": "few images"}
    plain = drawn.query("family == 'vlt5' and task == 'vqa'")
    for draw in (_losses_figure, _head_gap_figure):
        with matplotlib.rc_context(STYLE):
            (flawed,) = draw(plain.assign(**flaws), looks(LOSSES)).axes
            (without,) = draw(plain, looks(LOSSES)).axes
            (unknown,) = draw(plain.assign(features="unknown"), looks(LOSSES)).axes
        assert flawed.get_title().splitlines()[2:] == [
            "36 regions",
            "images in two splits: train/test 1409",
            "few images",
        ]
        assert without.get_title().splitlines()[2:] == ["raw patches of regions"]
        assert unknown.get_title().splitlines()[2:] == ["regions: boxes file, crop 8, max regions 8"]


def test_titles_and_labels_do_not_run_into_each_other(drawn):
    for draw in (_losses_figure, _head_gap_figure):
        with matplotlib.rc_context(STYLE):
            figure = draw(drawn, looks(LOSSES))
            figure.draw_without_rendering()
            boxes = [part.get_window_extent() for ax in figure.axes for part in (ax.title, ax.xaxis.label)]
        for number, box in enumerate(boxes):
            assert not any(box.overlaps(other) for other in boxes[number + 1 :])


def test_no_results_at_all_still_gives_files(fake, tmp_path):
    tables = collect(fake.plan(), tmp_path)
    assert all(path.exists() for path in figures(results_table(tables), tmp_path))


def test_many_losses_have_distinctlooks():
    found = looks([f"loss{number}" for number in range(20)])
    assert len(set(found.values())) == 20
