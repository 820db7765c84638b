import pytest
import torch

from amad_bench.bench import measuring
from amad_bench.bench.measuring import extra_mib, interleaved_seconds, on_threads, percentiles_ms


def test_memory_counts_what_lives_at_once():
    leaf = torch.zeros(2**18, requires_grad=True)  # 1 MiB

    def step():
        for _ in range(3):  # never two at once
            torch.empty(2**19)
        (leaf * 2).sum().backward()

    assert 2 <= extra_mib(step, "cpu") < 2.01


def test_steps_take_turns(monkeypatch):
    monkeypatch.setattr(measuring, "COPIED_MIB", 1)
    calls = []
    seconds, gib_s = interleaved_seconds([lambda: calls.append("a"), lambda: calls.append("b")], 3, "cpu")
    assert calls == ["a", "b"] * 3
    assert [len(one) for one in seconds] == [3, 3]
    assert gib_s > 0


def test_percentiles_are_of_milliseconds():
    expected = {"p50_ms": 2000, "p20_ms": 1400, "p80_ms": 2600}
    assert percentiles_ms([3.0, 1.0, 2.0]) == pytest.approx(expected)


def test_threads_are_given_back_after_an_error():
    before = torch.get_num_threads()
    seen = []

    def fail():
        seen.append(torch.get_num_threads())
        raise KeyError

    with pytest.raises(KeyError), on_threads(before + 1):
        fail()
    assert seen == [before + 1]
    assert torch.get_num_threads() == before
