"""The collected tables of a plan's runs, and views that several others are made from."""

from dataclasses import dataclass
from functools import cached_property

import pandas as pd

from amad_bench.analysis.blocks.of_losses import Pair, pairs_of_losses
from amad_bench.analysis.claims.judged import Judged, judged_claims
from amad_bench.analysis.scores import ScoreBook
from amad_bench.analysis.settings import Setting, settings
from amad_bench.plan.plan import Plan


@dataclass(frozen=True)
class Collected:
    """Everything that is known of a plan's runs; a field for each table of `runtime.results.COLLECTED`.

    runs: a row per planned run; scores: per run, split, metric and example.
    examples: per test example and group that it belongs to (a question's answer type, say).
    learning_curves: per validation during the training of a teacher or student.
    alignments: per logged step and aligned layer of a student.
    failures: per run that is not done; per extra metric that is asked for and has no scores; and, with the
    status "skipped", per combination that is left out.
    made_of: changes exactly when the runs that have ended do, or the extra scores; "" of tables from files.
    """

    plan: Plan
    runs: pd.DataFrame
    scores: pd.DataFrame
    examples: pd.DataFrame
    learning_curves: pd.DataFrame
    alignments: pd.DataFrame
    failures: pd.DataFrame
    made_of: str = ""

    @cached_property
    def book(self) -> ScoreBook:
        """The scores, opened by run, split and metric."""
        return ScoreBook(self.scores)

    @cached_property
    def settings(self) -> list[Setting]:
        """The settings of all planned students, in plan order; UserError where two runs would be one row."""
        return settings(self.runs)

    @cached_property
    def pairs(self) -> list[Pair]:
        """Each variant of AMAD with every other loss, in all blocks that have both."""
        return pairs_of_losses(self)

    @cached_property
    def claims(self) -> list[Judged]:
        """The registered claims, judged."""
        return judged_claims(self)
