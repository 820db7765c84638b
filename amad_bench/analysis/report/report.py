"""`results/report.html`: tables, figures and predictions of a results folder as one file for people."""

from pathlib import Path

import pandas as pd

from amad_bench.analysis.report import methods, run_tables, scored_tables
from amad_bench.analysis.report.answers import answered
from amad_bench.analysis.report.page import page
from amad_bench.analysis.report.run_facts import run_facts, say_runs
from amad_bench.analysis.report.shown_figures import shown_figures
from amad_bench.analysis.report.verdicts import shown_claims, summary
from amad_bench.plan.config.schema import Config
from amad_bench.plan.plan import Plan
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import write_text_atomic
from amad_bench.runtime.parquet import read_parquet
from amad_bench.runtime.results import FigureName, ResultsFolder, TableName

_HEADLINE = FigureName.BLOCKS
_TABLES = (  # in the order in which they are read
    (TableName.RESULTS, scored_tables.primary_scores),
    (TableName.COMPARISONS, scored_tables.comparisons),
    (TableName.PAIRS_OF_RUNS, scored_tables.pairs_of_runs),
    (TableName.RANKS, scored_tables.ranks),
    (TableName.VARIANCE, scored_tables.variance),
    (TableName.HEADROOM, scored_tables.headroom),
    (TableName.POWER, run_tables.power),
    (TableName.STEPS_TO_SCORE, run_tables.steps_to_score),
    (TableName.PUBLISHED, run_tables.published),
    (TableName.RESULTS, scored_tables.other_scores),
)
_FAILURES = (
    (TableName.FAILURES, run_tables.failures),
    (TableName.FAILURES, run_tables.skipped),
    (TableName.LOSS_FAILURES, run_tables.loss_failures),
    (TableName.RUNS, run_tables.runs),
)
_APART = (TableName.BLOCKS, TableName.CLAIMS, TableName.CLAIM_PARTS)
READ = tuple(
    dict.fromkeys([*_APART, *(name for name, _ in (*_TABLES, *_FAILURES))])
)  # tables it is made from


def report(config: Config, plan: Plan, results: Path, output: Path) -> Path:
    """Write the report of a plan's results into `output`; the same files give the same bytes.

    UserError when a table or figure is missing in `results`.
    """
    folder = ResultsFolder(results)
    tables = {name: _read(folder, name) for name in READ}
    runs, claims = tables[TableName.RUNS], tables[TableName.CLAIMS]
    figures = shown_figures(folder)
    html = page(
        name=plan.name,
        lead=say_runs(runs),
        facts=run_facts(plan, runs),
        summary=summary(claims),
        claims=shown_claims(claims, tables[TableName.CLAIM_PARTS]),
        headline=figures.pop(_HEADLINE, None),
        across=scored_tables.blocks(tables[TableName.BLOCKS]),
        tables=[make(tables[name]) for name, make in _TABLES],
        figures=list(figures.values()),
        failures=[make(tables[name]) for name, make in _FAILURES],
        examples=answered(plan, runs, folder),
        training=methods.training(config, plan),
        losses=methods.losses(plan),
        statistics=methods.STATISTICS,
        not_repaired=methods.NOT_REPAIRED,
    )
    write_text_atomic(output, html)
    return output


def _read(folder: ResultsFolder, name: TableName) -> pd.DataFrame:
    path = folder.table(name)
    if not path.is_file():
        raise UserError(f"{path}: missing, the report is made from it; run `amad-bench compare` first")
    return read_parquet(path, "run `amad-bench collect` again")
