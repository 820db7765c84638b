"""Seeds: repeatable, different for different parts, accepted by every generator."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amad_bench.plan.seeds import seed

PARTS = st.lists(st.one_of(st.text(), st.integers()), min_size=1)


@given(PARTS)
def test_in_range(parts: list[str | int]) -> None:
    assert 0 <= seed(*parts) < 2**32


def test_each_part_counts_with_its_type_and_place() -> None:
    variants = [("a", 1), ("a", "1"), ("a", 2), (1, "a"), ("a",), ("a", 1, ""), ("a1",)]
    assert len({seed(*parts) for parts in variants}) == len(variants)


def test_thousand_replicates_do_not_collide() -> None:
    assert len({seed("init", replicate) for replicate in range(1000)}) == 1000


def test_another_process_gets_the_same_seed() -> None:
    code = "from amad_bench.plan.seeds import seed; print(seed('init', 'vqa', 3))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == seed("init", "vqa", 3)


@pytest.mark.parametrize("part", [1.0, None, True, ("a",)])
def test_other_types_are_refused(part: object) -> None:
    with pytest.raises(TypeError, match="text or whole numbers"):
        seed("init", part)  # pyright: ignore[reportArgumentType]
