"""The tables that readers get as Markdown and LaTeX, a printer each."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd

from amad_bench.analysis.printed.claims import claim_parts_tables, claims_tables
from amad_bench.analysis.printed.contrasts import blocks_tables, comparisons_tables, pairs_of_runs_tables
from amad_bench.analysis.printed.results import results_tables
from amad_bench.analysis.printed.runs import failures_tables, loss_failures_tables, steps_tables
from amad_bench.analysis.printed.settings import headroom_tables, power_tables, ranks_tables, variance_tables
from amad_bench.analysis.printed.table import PrintedTable, write_fragments
from amad_bench.runtime.results import ResultsFolder, TableName

PRINTERS: Mapping[TableName, Callable[[pd.DataFrame], list[PrintedTable]]] = {
    TableName.CLAIMS: claims_tables,
    TableName.CLAIM_PARTS: claim_parts_tables,
    TableName.BLOCKS: blocks_tables,
    TableName.RESULTS: results_tables,
    TableName.HEADROOM: headroom_tables,
    TableName.COMPARISONS: comparisons_tables,
    TableName.PAIRS_OF_RUNS: pairs_of_runs_tables,
    TableName.RANKS: ranks_tables,
    TableName.VARIANCE: variance_tables,
    TableName.POWER: power_tables,
    TableName.STEPS_TO_SCORE: steps_tables,
    TableName.LOSS_FAILURES: loss_failures_tables,
    TableName.FAILURES: failures_tables,
}


def print_tables(tables: Mapping[TableName, pd.DataFrame], folder: Path) -> None:
    """Write <table>.md and <table>.tex of each table that has a printer.

    tables: all of them. folder: the results folder.
    """
    made = ResultsFolder(folder)
    for name, printed in PRINTERS.items():
        write_fragments(printed(tables[name]), made.tables / name)
