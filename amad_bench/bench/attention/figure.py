"""Figure of the time and memory that a loss of attention takes, over the number of tokens."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from amad_bench.analysis.figures.drawing import GREY, STYLE, Look, dashed, looks, marked
from amad_bench.analysis.figures.files import write_figures
from amad_bench.analysis.figures.sheet import finish, sheet
from amad_bench.bench.attention.cases import KERNELS, NAIVE
from amad_bench.bench.attention.losses import DRAWN
from amad_bench.runtime.devices import CPU

METHOD = "amad kl"
HEIGHT = 2.7  # inches of a panel
FLOOR = (4, 2)  # dashes
NAMES = {"float32": "fp32", "bfloat16": "bf16"}


def draw_attention(rows: Sequence[Mapping[str, Any]], path_without_suffix: Path) -> list[Path]:
    """Write the PDF and the PNG; the paths written. rows: of `bench_attention`.

    A row of panels for each number type: best time and extra memory of `METHOD`, heads DRAWN, over the number
    of tokens, both axes logarithmic; a line for each provider that was measured. Dashed: `floor_ms`, and the
    gradients alone. Nothing is written where no such row was measured.
    """
    table = pd.DataFrame([row for row in rows if row.get("problem") is None])
    if table.empty:
        return []
    drawn: Any = table[(table["method"] == METHOD) & (table["H"] == DRAWN[0]) & (table["G"] == DRAWN[1])]
    if drawn.empty:
        return []
    with matplotlib.rc_context(STYLE):
        return write_figures([_figure(drawn)], path_without_suffix)


def _figure(table: pd.DataFrame) -> Figure:
    dtypes = list(dict.fromkeys(table["dtype"]))
    look = {name: own for name, own in looks([NAIVE, *KERNELS]).items() if name in set(table["provider"])}
    figure, axes = sheet(2 * len(dtypes), HEIGHT)
    for number, dtype in enumerate(dtypes):
        own: Any = table[table["dtype"] == dtype]
        time, memory = axes[2 * number : 2 * number + 2]
        _panel(time, own, look, "best_ms", "floor_ms", "Forward and backward (ms)")
        _panel(memory, own, look, "extra_mib", "least_mib", "Extra memory (MiB)")
        time.set_title(f"Time, {NAMES.get(dtype, dtype)}")
        memory.set_title(f"Memory, {NAMES.get(dtype, dtype)}")
    marks = [marked(name, own) for name, own in look.items()]
    return finish(figure, _measured(table.iloc[0]), [], [*marks, dashed("floor", FLOOR)]).figure


def _measured(row: Mapping[str, Any]) -> str:
    """The loss, its shape, and what it was measured on."""
    device = f"cpu, threads {row['threads']}" if row["device"] == CPU.name else row["device"]
    return f"{row['method']}, batch {row['B']}, {row['H']} → {row['G']} heads, {device}"


def _panel(
    ax: Axes, table: pd.DataFrame, look: Mapping[str, Look], column: str, floor: str, label: str
) -> None:
    for provider, (colour, marker) in look.items():
        line: Any = table[table["provider"] == provider]
        line = line.sort_values("N")
        ax.plot(line["N"], line[column], color=colour, marker=marker, markersize=4, linewidth=1.2)
    least = table.drop_duplicates("N").sort_values("N")
    ax.plot(least["N"], least[floor], dashes=FLOOR, zorder=1, **GREY)
    ax.set_xscale("log")
    ax.set_yscale("log")
    tokens = sorted(set(table["N"]))
    ax.set_xticks(tokens, [str(count) for count in tokens])
    ax.minorticks_off()
    ax.set_xlabel("Tokens N, of queries and of keys")
    ax.set_ylabel(label)
