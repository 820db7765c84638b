"""Forest plot of the pairs of losses in each setting."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from amad_bench.analysis.figures.drawing import GREY, INK, PALETTE, Frame, intervals, marked, points
from amad_bench.analysis.figures.sheet import Drawing, Page, finish, pages, sheet
from amad_bench.analysis.figures.titles import in_points, n_of, titles_and_notes
from amad_bench.analysis.settings import SETTING, grouped

TITLE = "Differences between two losses of one setting"
NOTHING = "No pair of losses has scores of two replicates or more, so there is no interval to draw."
ROW, REST = 0.15, 0.75  # inches of a contrast, and of what else a panel has
MOST = 36  # contrasts of a panel
# Statement -> look; filled where something was shown.
LOOKS = {
    "better": (PALETTE[0], "o"),
    "worse": (PALETTE[3], "s"),
    "equivalent": (PALETTE[2], "D"),
    "inconclusive": (INK, "o"),
    "not testable": (INK, "x"),
}
HOLLOW = "inconclusive"


def draw_pairs(comparisons: Frame) -> Drawing:
    """A row per contrast with its difference and 95 % interval, a panel per setting.

    comparisons: the table. Contrasts without a difference are left out. A panel has at most MOST rows: of
    more, those of each first loss have panels of their own.
    """
    drawn: Any = comparisons[comparisons["difference"].notna()]
    panels = [part for _, rows in grouped(drawn, SETTING) for part in _parts(rows)]
    if not panels:
        return Drawing(TITLE, nothing=NOTHING)
    height = REST + ROW * max(len(rows) for rows in panels)
    found = [_page([panels[n] for n in page], height) for page in pages(len(panels), height)]
    return Drawing(TITLE, found)


def _parts(rows: Frame) -> list[Frame]:
    if len(rows) <= MOST:
        return [rows]
    by_first = [own for _, own in grouped(rows, ["loss_a"])]
    return [own.iloc[start : start + MOST] for own in by_first for start in range(0, len(own), MOST)]


def _page(panels: Sequence[Frame], height: float) -> Page:
    titles, notes = titles_and_notes([rows.iloc[0] for rows in panels], "teacher_heads")
    figure, axes = sheet(len(panels), height, alone=5.4)
    seen: set[str] = set()
    for rows, title, ax in zip(panels, titles, axes, strict=True):
        names = [f"{row['loss_a']} − {row['loss_b']}" for row in rows.to_dict("records")]
        forest(ax, rows, names)
        seen |= set(rows["statement"])
        ax.set_xlabel(f"{in_points(rows['metric'].iloc[0], 'Difference')}\n{n_of(rows)}")
        ax.set_title(title)
    drawn = "Difference of the means with its 95 % interval, which may be wider than a panel"
    notes.insert(0, f"{drawn}; {exploratory(pd.concat(panels))}.")
    return finish(figure, TITLE, notes, statement_marks(seen))


def forest(ax: Any, rows: Frame, names: Sequence[str]) -> None:
    """Differences and intervals of the rows, from the top, with the looks of their statements."""
    zero(ax)
    place_N = np.arange(len(rows))
    for statement in dict.fromkeys(rows["statement"]):
        own_N = (rows["statement"] == statement).to_numpy()
        look, part = LOOKS[statement], rows[own_N]
        intervals(ax, look[0], place_N[own_N], part["ci_low"], part["ci_high"], upright=False)
        points(ax, look, part["difference"], place_N[own_N], hollow=statement == HOLLOW)
    ax.set_yticks(place_N, names)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(*forest_limits(rows))
    ax.grid(axis="y", visible=False)


def zero(ax: Any) -> None:
    """The line of no difference."""
    ax.axvline(0, zorder=1, **GREY)


def forest_limits(rows: Frame) -> tuple[float, float]:
    """Room for all differences and most intervals: of the widest only a part is shown."""
    ends_2N = rows[["ci_low", "ci_high"]].abs().to_numpy(dtype=float)
    typical = np.nanmedian(ends_2N) if np.isfinite(ends_2N).any() else 0.0
    most = max(3 * typical, 1.5 * rows["difference"].abs().max())
    low = np.nanmin(rows[["difference", "ci_low"]].to_numpy(dtype=float))
    high = np.nanmax(rows[["difference", "ci_high"]].to_numpy(dtype=float))
    low, high = max(min(low, 0.0), -most), min(max(high, 0.0), most)
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


def statement_marks(seen: set[str]) -> list[Any]:
    """The legend's entries of the statements that occur."""
    return [
        marked(name, look, line=name != "not testable", hollow=name == HOLLOW)
        for name, look in LOOKS.items()
        if name in seen
    ]


def exploratory(rows: Frame) -> str:
    """Phrase for what the colours rest on, and that nothing of it was registered, if so."""
    basis = "statements by p adjusted by Holm within a setting"
    return basis if rows["registered"].all() else f"{basis}; exploratory: no claim registers them"
