"""Who a process is among several; what they do together is in tests/training/test_ranks.py."""

import os

import numpy as np
import pytest

from amad_bench.runtime.devices import CPU
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.ranks import (
    ALONE,
    LostRank,
    Ranks,
    here,
    in_turns,
    joined,
    losing_ranks,
    see_one_device,
    started,
)

TOLD = {
    "RANK": "1",
    "LOCAL_RANK": "1",
    "WORLD_SIZE": "2",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "127.0.0.1",
    "MASTER_PORT": "29500",
}


def told(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> None:
    for name, value in (TOLD | changes).items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)


def test_torchrun_s_variables_say_who_one_is(monkeypatch):
    told(monkeypatch)
    assert started() == Ranks(1, 2)


@pytest.mark.parametrize("lacking", [*TOLD])
def test_without_all_of_them_one_is_alone(monkeypatch, lacking):
    """As in a job of Kubernetes, which sets some of them for other reasons."""
    told(monkeypatch, **{lacking: None})
    assert started() is None
    with joined(CPU) as ranks:
        assert ranks is ALONE is here()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"RANK": "first"}, "numbers were expected"),
        ({"LOCAL_WORLD_SIZE": "1"}, "all of a run must be on one"),
    ],
)
def test_what_makes_no_sense_is_refused(monkeypatch, changes, says):
    told(monkeypatch, **changes)
    with pytest.raises(UserError, match=says):
        started()


@pytest.mark.parametrize(
    ("visible", "own"),
    [
        (None, ["0", "1"]),
        ("3,1", ["3", "1"]),
        ("GPU-a, GPU-b ,GPU-c", ["GPU-a", "GPU-b"]),
        ("", ["", ""]),  # on the CPU
        ("-1", ["-1", "-1"]),
    ],
)
def test_each_rank_sees_its_own_gpu(monkeypatch, visible, own):
    for rank in range(2):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if visible is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        see_one_device(Ranks(rank, 2))
        assert os.environ["CUDA_VISIBLE_DEVICES"] == own[rank]


def test_fewer_gpus_than_ranks_are_refused(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5")
    with pytest.raises(UserError, match="gpus_per_run: 2, but CUDA_VISIBLE_DEVICES=5 names 1; lower it"):
        see_one_device(Ranks(0, 2))


@pytest.mark.parametrize("world", [1, 2, 3, 9])
def test_ranks_share_rows_and_put_them_together_again(world):
    rows = np.arange(7) * 10
    shares = [rows[Ranks(rank, world).own].tolist() for rank in range(world)]
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
    assert in_turns(shares) == rows.tolist()


def test_alone_everything_is_one_s_own():
    assert ALONE.first
    assert not ALONE.together
    assert (ALONE.sent("a"), ALONE.gathered("a"), ALONE.largest([1, 2])) == ("a", ["a"], [1, 2])


def test_a_broken_connection_is_a_lost_rank_and_other_errors_are_not():
    with pytest.raises(LostRank), losing_ranks():
        raise RuntimeError(
            "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:1] Connection closed by peer"
        )
    with pytest.raises(RuntimeError, match="another"), losing_ranks():
        raise RuntimeError("another")
