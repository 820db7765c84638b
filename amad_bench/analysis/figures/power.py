"""Power curves: the difference that a design shows with 80 % power, over the number of seeds."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes

from amad_bench.analysis.figures.drawing import GREY, Frame, Look, dashed, looks, marked, points
from amad_bench.analysis.figures.sheet import Drawing, Page, finish, pages, sheet
from amad_bench.analysis.figures.titles import letter, titles_and_notes
from amad_bench.analysis.settings import BLOCK, SETTING, grouped
from amad_bench.plan.catalogue import METRICS

TITLE = "Differences that a design shows with 80 % power"
NOTHING = "No two losses of a setting have two seeds in common, so nothing is known of their noise."
ACROSS = "blocks"  # stands in the column `test`
NAMES = {"pair": "one pair of losses", "setting": "all losses of the setting"}
FLOOR = (1, 1.5)  # dashes
HEIGHT = 2.25  # inches of a panel
NOTE = (
    "From the noise of finished runs: the smallest true difference that a test at .05 finds with 80 % power. "
    "Dotted: the limit that the test examples set, with seeds without end; across "
    "blocks in the colour of their number. Both axes are logarithmic."
)


def draw_power(power: Frame) -> Drawing:
    """A line per test over the number of seeds, a panel per setting. power: the table.

    The test across blocks has a panel per condition, with a line per number of blocks.
    """
    known: Any = power[power["shown_80"].notna()]
    across = known["test"] == ACROSS
    conditions = [axis for axis in SETTING if axis not in BLOCK]
    panels = [rows for _, rows in grouped(known[~across], [*SETTING, "metric"])]
    panels += [rows for _, rows in grouped(known[across], [*conditions, "metric"])]
    if not panels:
        return Drawing(TITLE, nothing=NOTHING)
    names = [*NAMES.values(), *(_blocks(count) for count in sorted(set(known.loc[across, "n_blocks"])))]
    look = looks(list(dict.fromkeys(names)))
    return Drawing(TITLE, [_page([panels[n] for n in page], look) for page in pages(len(panels), HEIGHT)])


def _blocks(count: float) -> str:
    return f"{int(count)} blocks"


def _page(panels: Sequence[Frame], look: dict[str, Look]) -> Page:
    settings = [rows.iloc[0] for rows in panels if rows["test"].iloc[0] != ACROSS]
    titles, notes = titles_and_notes(settings, "teacher_heads") if settings else ([], [])
    conditions = [_condition(rows.iloc[0]) for rows in panels[len(settings) :]]
    if settings and conditions:
        notes = [f"Panels of one setting: {note}" for note in notes]
    if len(panels) > 1:
        conditions = [f"{letter(len(settings) + n)}  {name}" for n, name in enumerate(conditions)]
        titles = titles if len(settings) > 1 else [f"a  {title}" for title in titles]
    figure, axes = sheet(len(panels), HEIGHT)
    shown: set[str] = set()
    for rows, title, ax in zip(panels, [*titles, *conditions], axes, strict=True):
        across = rows["test"].iloc[0] == ACROSS
        floors: dict[float, dict[str, Any]] = {}
        for _, own in grouped(rows, ["test", "n_blocks"]):
            name = _blocks(own["n_blocks"].iloc[0]) if across else NAMES[own["test"].iloc[0]]
            own = own.sort_values("n_seeds")
            points(ax, look[name], own["n_seeds"].astype(float), own["shown_80"], line=True)
            shown.add(name)
            line = {**GREY, "color": look[name][0], "alpha": 1.0} if across else GREY
            floors |= {floor: line for floor in own["floor_80"] if floor > 0}  # 0 where images add nothing
        for floor, line in floors.items():
            ax.axhline(floor, dashes=FLOOR, zorder=1, **line)
        _scales(ax, rows["n_seeds"], min([*floors, rows["shown_80"].min()]), rows["shown_80"].max())
        first = rows.iloc[0]
        n_blocks = f" × {first['n_blocks_measured']} blocks" if across else ""
        measured = f"{first['n_losses']} losses × {first['n_seeds_measured']} seeds{n_blocks}"
        ax.set_xlabel(f"Seeds planned\nn = {measured}, measured")
        ax.set_ylabel(_unit(first))
        ax.set_title(title)
    marks = [marked(name, own) for name, own in look.items() if name in shown]
    return finish(figure, TITLE, [NOTE, *notes], [*marks, dashed("limit of the test set", FLOOR)])


def _scales(ax: Axes, n_seeds: Frame, low: float, high: float) -> None:
    """Both axes logarithmic, with numbers that a person would choose."""
    ax.set_xscale("log")
    ax.set_yscale("log")
    seeds = sorted({int(count) for count in n_seeds})
    ax.set_xticks(seeds, [str(count) for count in seeds])
    low, high = low / 1.15, high * 1.15
    bases = (1, 2, 5) if high / low < 150 else (1,)
    ticks = [base * 10.0**power for power in range(-4, 5) for base in bases]
    ticks = [tick for tick in ticks if low <= tick <= high]
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.set_ylim(low, high)
    ax.minorticks_off()


def _condition(row: Frame) -> str:
    pair = [row["teacher_pretraining"], row["pretraining"]]
    trained = "" if pair == ["none", "none"] else f" · {' → '.join(map(str, pair))}"
    return f"Across blocks{trained}{' · equal FLOPs' if row['budget'] == 'flops' else ''}"


def _unit(row: Frame) -> str:
    labels = [METRICS[name].label for name in row["metric"].split(" | ")]
    return f"Points of {labels[0]}" if len(labels) == 1 else f"Difference ({row['unit']})"
