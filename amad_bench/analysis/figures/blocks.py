"""Forest plots across blocks: the difference of two losses in each block, and what they say together."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from amad_bench.analysis.figures.drawing import INK, Frame, intervals, marked, points
from amad_bench.analysis.figures.pairs import HOLLOW, LOOKS, forest_limits, zero
from amad_bench.analysis.figures.sheet import Drawing, Page, finish, pages, sheet
from amad_bench.analysis.figures.titles import LONGEST, by_letter, family_and_task, letter
from amad_bench.analysis.settings import grouped
from amad_bench.plan import catalogue

TITLE = "Differences between two losses across blocks"
NOTHING = "No two losses that are compared have scores in a block."
PANEL = ["loss_a", "loss_b", "teacher_pretraining", "pretraining", "budget", "heads"]
ROW, REST = 0.155, 0.8  # inches of a row, and of what else a panel has
MOST = 34  # blocks of a panel; the tables have them all
ONE = (INK, "o")  # of a block, about which nothing is said by itself


def draw_blocks(blocks: Frame, block_differences: Frame) -> Drawing:
    """A panel per two losses, condition and kind of heads: a row per block, then those of blocks together.

    blocks, block_differences: the tables. Groups whose unit is another one than the panel's are left out.
    """
    known: Any = block_differences[block_differences["difference"].notna()]
    panels = []
    for values, rows in grouped(known, PANEL):
        own = blocks
        for column, value in values.items():
            own = own[own[column].isna() if pd.isna(value) else own[column] == value]
        groups = own[(own["unit"] == rows["unit"].iloc[0]) & own["difference"].notna()]
        panels.append((rows, groups))
    if not panels:
        return Drawing(TITLE, nothing=NOTHING)
    height = REST + ROW * max(min(len(rows), MOST) + len(groups) for rows, groups in panels)
    found = [_page([panels[n] for n in page], height) for page in pages(len(panels), height)]
    return Drawing(TITLE, found)


def _page(panels: Sequence[tuple[Frame, Frame]], height: float) -> Page:
    figure, axes = sheet(len(panels), height, alone=5.4)
    titles, apart = _titles([rows.iloc[0] for rows, _ in panels])
    seen: list[str] = []
    for number, ((every, groups), ax) in enumerate(zip(panels, axes, strict=True)):
        rows = every.head(MOST)
        zero(ax)
        place_N = range(len(rows))
        intervals(ax, INK, place_N, rows["ci_low"], rows["ci_high"], upright=False)
        points(ax, ONE, rows["difference"], place_N)
        for place, group in enumerate(groups.to_dict("records"), start=len(rows)):
            colour, marker, hollow = _together(group["statement"])
            intervals(ax, colour, [place], [group["ci_low"]], [group["ci_high"]], upright=False)
            points(ax, (colour, marker), [group["difference"]], [place], hollow=hollow, size=5)
            seen.append(group["statement"])
        ax.axhspan(len(rows) - 0.5, len(rows) + len(groups) - 0.5, color=INK, alpha=0.06, linewidth=0)
        names = [*_names(rows), *(_group(group) for group in groups.to_dict("records"))]
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.4, -0.6)
        ax.set_xlim(*forest_limits(pd.concat([rows, groups])))
        ax.grid(axis="y", visible=False)
        ax.set_xlabel(f"Difference ({_unit(rows)})\n{_counted(every)}")
        ax.set_title(titles[number])
    marks = [marked("one block", ONE)]
    for statement in [name for name in LOOKS if name in set(seen)]:
        colour, marker, hollow = _together(statement)
        marks.append(marked(f"blocks together: {statement}", (colour, marker), hollow=hollow))
    exploratory = "" if len(panels[0][1]) and panels[0][1]["registered"].all() else " Exploratory."
    note = (
        "Differences with their 95 % intervals, which may be wider than a panel. Of blocks together: t over "
        "K blocks, scope: blocks of this kind; k of N: blocks that are better by partial conjunction."
        f"{exploratory} Heads of teacher → student; a pair of words in a title: pre-training of teacher → of "
        "student."
    )
    return finish(figure, TITLE, [note, *apart], marks)


def _together(statement: str) -> tuple[str, str, bool]:
    """Colour and marker of a statement about blocks together, and whether the mark is hollow."""
    colour, marker = LOOKS[statement]
    return colour, marker if statement == "not testable" else "D", statement == HOLLOW


def _titles(rows: Sequence[Frame]) -> tuple[list[str], list[str]]:
    """The title of each panel, and as fine print by letters what is too long for one of them."""
    titles = [f"{row['loss_a']} − {row['loss_b']}" for row in rows]
    notes = []
    for said in ([_trained(row) for row in rows], [f"{row['heads']} heads" for row in rows]):
        longer = [" · ".join(filter(None, both)) for both in zip(titles, said, strict=True)]
        if max(map(len, longer)) > LONGEST and len(rows) > 1:
            notes.append(by_letter(said))
        else:
            titles = longer
    return ([f"{letter(n)}  {title}" for n, title in enumerate(titles)] if len(rows) > 1 else titles), notes


def _trained(row: Frame) -> str:
    pair = [row["teacher_pretraining"], row["pretraining"]]
    parts = [] if pair == ["none", "none"] else [" → ".join(map(str, pair))]
    return " · ".join([*parts, "equal FLOPs"] if row["budget"] == "flops" else parts)


def _names(rows: Frame) -> list[str]:
    several = {
        column: rows[column].nunique() > 1 for column in ("dataset", "student", "cut") if column in rows
    }
    names = []
    for row in rows.to_dict("records"):
        more = [f"{row['teacher_heads']} → {row['student_heads']}"]
        more += [catalogue.label_of(row["dataset"])] if several.get("dataset") else []
        more += [str(row[column]) for column in ("student", "cut") if several.get(column)]
        names.append(" · ".join([family_and_task(row), *more]))
    return names


def _group(group: dict[Any, Any]) -> str:
    over = group["over"]
    known = {**catalogue.FAMILIES, **catalogue.TASKS}
    name = known[over].label if over in known else "all blocks"
    return f"{name}: K = {group['n_blocks']}, {group['n_better']} of {group['n_tested']}"


def _unit(rows: Frame) -> str:
    metrics = [catalogue.METRICS[name].label for name in dict.fromkeys(rows["metric"])]
    return f"points, {metrics[0]}" if len(metrics) == 1 else rows["unit"].iloc[0]


def _counted(rows: Frame) -> str:
    low, high = int(rows["n_seeds"].min()), int(rows["n_seeds"].max())
    seeds = f"{low}" if low == high else f"{low}–{high}"
    drawn = f" (the first {MOST} drawn)" if len(rows) > MOST else ""
    return f"n = {len(rows)} blocks{drawn} × {seeds} {'seed' if seeds == '1' else 'seeds'}"
