"""The tables that are made from the collected ones: a name and a maker each."""

from collections.abc import Callable

import pandas as pd

from amad_bench.analysis.blocks.tables import block_differences_table, blocks_table
from amad_bench.analysis.claims.tables import claim_parts_table, claims_table
from amad_bench.analysis.collected import Collected
from amad_bench.analysis.learning_curves import steps_to_score
from amad_bench.analysis.power.table import power_table
from amad_bench.analysis.tables.comparisons import comparisons_table, pairs_of_runs_table
from amad_bench.analysis.tables.headroom import headroom_table
from amad_bench.analysis.tables.loss_failures import loss_failures_table
from amad_bench.analysis.tables.published import published_table
from amad_bench.analysis.tables.ranks import ranks_table
from amad_bench.analysis.tables.results import results_table
from amad_bench.analysis.tables.variance import variance_table
from amad_bench.runtime.results import TableName

MAKERS: dict[TableName, Callable[[Collected], pd.DataFrame]] = {  # one for each name in COMPARED
    TableName.RESULTS: results_table,
    TableName.HEADROOM: headroom_table,
    TableName.COMPARISONS: comparisons_table,
    TableName.PAIRS_OF_RUNS: pairs_of_runs_table,
    TableName.RANKS: ranks_table,
    TableName.VARIANCE: variance_table,
    TableName.LOSS_FAILURES: loss_failures_table,
    TableName.CLAIMS: claims_table,
    TableName.CLAIM_PARTS: claim_parts_table,
    TableName.STEPS_TO_SCORE: lambda collected: steps_to_score(collected.runs, collected.learning_curves),
    TableName.PUBLISHED: published_table,
    TableName.BLOCKS: blocks_table,
    TableName.BLOCK_DIFFERENCES: block_differences_table,
    TableName.POWER: power_table,
}
