"""The figures of a sweep: a name, a maker, and the tables that it draws."""

from collections.abc import Callable, Mapping
from pathlib import Path

import matplotlib
import pandas as pd

from amad_bench.analysis.figures.alignments import draw_typical
from amad_bench.analysis.figures.blocks import draw_blocks
from amad_bench.analysis.figures.cost import draw_cost
from amad_bench.analysis.figures.drawing import STYLE
from amad_bench.analysis.figures.files import Shown, write_drawing, write_shown
from amad_bench.analysis.figures.head_counts import draw_head_counts
from amad_bench.analysis.figures.head_gap import draw_head_gap
from amad_bench.analysis.figures.learning_curves import draw_learning_curves
from amad_bench.analysis.figures.losses import draw_losses
from amad_bench.analysis.figures.pairs import draw_pairs
from amad_bench.analysis.figures.power import draw_power
from amad_bench.analysis.figures.pretraining_gaps import draw_pretraining_gaps
from amad_bench.analysis.figures.published import draw_published
from amad_bench.analysis.figures.sharpness import draw_sharpness
from amad_bench.analysis.figures.sheet import Drawing
from amad_bench.runtime.results import FigureName, ResultsFolder, TableName

Maker = Callable[..., Drawing]  # of the tables, in the order in which the registry names them
FIGURES: dict[FigureName, tuple[Maker, tuple[TableName, ...]]] = {
    FigureName.LOSSES: (draw_losses, (TableName.RESULTS,)),
    FigureName.HEAD_GAP: (draw_head_gap, (TableName.RESULTS,)),
    FigureName.HEAD_COUNTS: (draw_head_counts, (TableName.RESULTS, TableName.COMPARISONS)),
    FigureName.PAIRS: (draw_pairs, (TableName.COMPARISONS,)),
    FigureName.BLOCKS: (draw_blocks, (TableName.BLOCKS, TableName.BLOCK_DIFFERENCES)),
    FigureName.LEARNING_CURVES: (draw_learning_curves, (TableName.RUNS, TableName.LEARNING_CURVES)),
    FigureName.ALIGNMENTS: (draw_typical, (TableName.RUNS, TableName.ALIGNMENTS)),
    FigureName.SHARPNESS: (draw_sharpness, (TableName.RUNS, TableName.ALIGNMENTS)),
    FigureName.COST: (draw_cost, (TableName.RESULTS, TableName.RUNS)),
    FigureName.PRETRAINING_GAPS: (draw_pretraining_gaps, (TableName.RESULTS,)),
    FigureName.POWER: (draw_power, (TableName.POWER,)),
    FigureName.PUBLISHED: (draw_published, (TableName.PUBLISHED,)),
}
TABLES = tuple(dict.fromkeys(name for _, reads in FIGURES.values() for name in reads))


def draw_figures(tables: Mapping[TableName, pd.DataFrame], folder: Path) -> list[Path]:
    """Draw every figure into the results folder, and write `figures/figures.json`; the paths written.

    tables: those of TABLES, by name.
    """
    made, paths, shown = ResultsFolder(folder), list[Path](), dict[str, Shown]()
    with matplotlib.rc_context(STYLE):
        for name, (draw, reads) in FIGURES.items():
            drawing = draw(*(tables[table] for table in reads))
            shown[name.value], files = write_drawing(drawing, made.figures / name)
            paths += files
    write_shown(shown, made.shown_figures)
    return [*paths, made.shown_figures]
