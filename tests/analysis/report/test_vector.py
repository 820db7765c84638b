"""An SVG inside of a page: own ids, own colours, no programs, nothing from elsewhere."""

import re
import xml.etree.ElementTree as ET

import pytest

from amad_bench.analysis.report.vector import inline_svg
from amad_bench.runtime.errors import UserError
from tests.analysis.report.conftest import SVG


@pytest.fixture
def drawn(tmp_path):
    (tmp_path / "a.svg").write_text(SVG)
    return inline_svg(tmp_path / "a.svg", "p-", 'Scores "by" loss')


def test_ids_and_what_points_to_them_are_the_pages_own(drawn):
    assert 'id="p-m1"' in drawn
    assert 'href="#p-m1"' in drawn
    assert "url(#p-m1)" in drawn
    assert "xlink" not in drawn


def test_programs_styles_metadata_and_links_elsewhere_are_left_out(drawn):
    names = {element.tag for element in ET.fromstring(drawn).iter()}
    assert names == {"svg", "defs", "path", "g", "use", "rect", "image", "text"}
    assert "onclick" not in drawn
    assert "http" not in drawn


def test_greys_are_the_pages_ink_and_paper_and_colours_stay(drawn):
    assert "fill: var(--ink)" in drawn
    assert "fill: var(--paper); stroke: #0072b2" in drawn


def test_it_fits_its_place_and_is_named(drawn):
    root = ET.fromstring(drawn)
    assert root.attrib["viewBox"] == "0 0 100 50"
    assert "width" not in root.attrib
    assert root.attrib["aria-label"] == 'Scores "by" loss'
    assert re.fullmatch(r"max-width: \d+px", root.attrib["style"])
    assert "A &lt; B" in drawn


@pytest.mark.parametrize(
    "content", ["", "<svg", "<svg viewBox='0 0 1 1'/>", f"{SVG.replace('viewBox', 'box')}"]
)
def test_another_file_is_refused(tmp_path, content):
    (tmp_path / "a.svg").write_text(content)
    with pytest.raises(UserError, match=r"a\.svg: no SVG.*run `amad-bench figures` again"):
        inline_svg(tmp_path / "a.svg", "p-", "")
