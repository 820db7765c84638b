"""Files of a figure: equal bytes, an SVG for any background, and what is known of it."""

import re
import xml.etree.ElementTree as ET

import matplotlib
import pytest

from amad_bench.analysis.figures.drawing import INK, STYLE
from amad_bench.analysis.figures.files import read_shown, write_drawing, write_shown
from amad_bench.analysis.figures.head_gap import draw_head_gap
from amad_bench.analysis.figures.losses import TITLE, draw_losses
from amad_bench.runtime.errors import UserError
from tests.analysis.figures.frames import of_setting, results

MANY = results(*[row | {"student_heads": heads} for heads in range(1, 14) for row in of_setting()])


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    (folder / "losses-9.svg").touch()
    (folder / "losses-of-others.svg").touch()
    with matplotlib.rc_context(STYLE):
        return folder, *write_drawing(draw_losses(MANY), folder / "losses")


def test_all_pages_are_there_and_none_of_before(written):
    folder, shown, paths = written
    names = ["losses-2.svg", "losses.pdf", "losses.png", "losses.svg"]
    assert sorted(path.name for path in paths) == names
    assert sorted(path.name for path in folder.iterdir()) == sorted([*names, "losses-of-others.svg"])
    assert shown.pages == 2
    assert shown.svgs == ["losses.svg", "losses-2.svg"]
    assert shown.title == TITLE
    assert shown.nothing == ""
    assert len(re.findall(rb"/Type /Page\b", (folder / "losses.pdf").read_bytes())) == 2


def test_equal_tables_give_equal_bytes(written, tmp_path):
    _, _, paths = written
    with matplotlib.rc_context(STYLE):
        write_drawing(draw_losses(MANY), tmp_path / "losses")
    for path in paths:
        assert path.read_bytes() == (tmp_path / path.name).read_bytes(), path.name


def test_an_svg_has_text_and_reads_on_any_background(written):
    folder, shown, _ = written
    text = (folder / "losses.svg").read_text()
    root = ET.fromstring(text)
    said = ["".join(part.itertext()) for part in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"amad_kl", "n = 3 seeds × 240 examples"} <= set(said)
    assert not any(TITLE in one or shown.notes[0][0] in one for one in said)  # the text around it says that
    assert "currentColor" in text
    for gone in (INK, "#ffffff", "#000000", "<metadata", 'id="axes', "<script", "http://matplotlib"):
        assert gone not in text
    width, height = (float(root.get(side).removesuffix("pt")) / 72 for side in ("width", "height"))
    assert width == pytest.approx(shown.sizes[0][0])
    assert height < shown.sizes[0][1] - 0.4  # without title and fine print


def test_a_figure_without_pictures_says_why(tmp_path):
    drawing = draw_head_gap(results(*of_setting()))
    with matplotlib.rc_context(STYLE):
        shown, paths = write_drawing(drawing, tmp_path / "head_gap")
    assert shown.nothing == drawing.nothing != ""
    assert drawing.nothing in (tmp_path / "head_gap.svg").read_text()
    assert all(path.stat().st_size > 300 for path in paths)


def test_what_is_shown_is_read_as_it_was_written(written, tmp_path):
    _, shown, _ = written
    write_shown({"losses": shown}, tmp_path / "figures.json")
    assert read_shown(tmp_path / "figures.json") == {"losses": shown}


@pytest.mark.parametrize("content", [None, "[]", '{"losses": 3}', '{"losses": {"pages": 1}}'])
def test_a_file_of_something_else_is_refused(content, tmp_path):
    path = tmp_path / "figures.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"figures\.json: .*run"):
        read_shown(path)
