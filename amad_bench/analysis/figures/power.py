"""Power curves: the difference that a design shows with 80 % power, over the number of seeds."""

from collections.abc import Sequence

import pandas as pd

from amad_bench.analysis.figures.sheet import Drawing, Page, pages
from amad_bench.analysis.settings import SETTING, grouped

TITLE = "Differences that a design shows with 80 % power"
NOTHING = "No finished runs say how much scores vary, so nothing is planned from them."
TESTS = ("pair", "setting", "blocks")
FLOOR = (1, 1.5)  # dashes
HEIGHT = 2.2  # inches of a panel


def draw_power(power: pd.DataFrame) -> Drawing:
    """A line per test over the number of seeds, a panel per setting; dotted: the limit of the test set.

    power: the table. The test across blocks has panels of its own, with a line per number of blocks.
    """
    known = power[power["shown_80"].notna()]
    axes = [axis for axis in SETTING if axis in known]
    panels = [rows for _, rows in grouped(known, [*axes, "metric"])]
    if not panels:
        return Drawing(TITLE, nothing=NOTHING)
    topics = [tuple(rows.iloc[0].reindex(["family", "task"]).fillna("")) for rows in panels]
    return Drawing(TITLE, [_page([panels[n] for n in page]) for page in pages(topics, HEIGHT)])


def _page(panels: Sequence[pd.DataFrame]) -> Page:
    raise NotImplementedError
