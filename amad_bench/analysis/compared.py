"""The tables that are made from the collected ones: a name and a maker each."""

from collections.abc import Callable

import pandas as pd

from amad_bench.analysis.blocks.tables import block_differences_table, blocks_table
from amad_bench.analysis.collected import Collected
from amad_bench.analysis.learning_curves import steps_to_score
from amad_bench.analysis.tables.comparisons import comparisons_table
from amad_bench.analysis.tables.headroom import headroom_table
from amad_bench.analysis.tables.results import results_table
from amad_bench.runtime.results import TableName

MAKERS: dict[TableName, Callable[[Collected], pd.DataFrame]] = {  # one for each name in COMPARED
    TableName.RESULTS: results_table,
    TableName.HEADROOM: headroom_table,
    TableName.COMPARISONS: comparisons_table,
    TableName.STEPS_TO_SCORE: lambda collected: steps_to_score(collected.runs, collected.learning_curves),
    TableName.BLOCKS: blocks_table,
    TableName.BLOCK_DIFFERENCES: block_differences_table,
}
