"""Every table has a maker, and every maker sees all that was collected."""

from dataclasses import fields

from amad_bench.analysis.collected import Collected
from amad_bench.analysis.compared import MAKERS
from amad_bench.runtime.results import COLLECTED, COMPARED


def test_each_table_that_compare_writes_has_a_maker() -> None:
    assert sorted(MAKERS) == sorted(COMPARED)


def test_makers_see_each_collected_table() -> None:
    assert {field.name for field in fields(Collected)} == {"plan", "made_of", *COLLECTED}
