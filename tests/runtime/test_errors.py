"""Errors for people, and the nearest known name."""

import pickle

import pytest

from amad_bench.runtime.errors import STATUSES, RunFailed, UserError, did_you_mean


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("amda", " Did you mean 'amad'?"),
        ("AMAD", " Did you mean 'amad'?"),
        ("logitkd", " Did you mean 'logit_kd'?"),
        ("xyzzy", ""),
        ("", ""),
        (3, ""),
    ],
)
def test_did_you_mean(name: object, expected: str) -> None:
    assert did_you_mean(name, ["ce", "logit_kd", "amad"]) == expected


def test_one_message_or_several() -> None:
    assert UserError("one").messages == ["one"]
    several = UserError("one", "two")
    assert several.messages == ["one", "two"]
    assert str(several) == "one\ntwo"


@pytest.mark.parametrize("error", [UserError("a", "b"), UserError("a"), RunFailed("diverged", "loss is nan")])
def test_errors_survive_a_process_pool(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy)) == (type(error), str(error))


def test_half_a_character_is_written_as_an_escape() -> None:
    path = b"/d/sm\xf8r".decode("utf-8", "surrogateescape")
    for error in (UserError(path), UserError("a", path), RunFailed("diverged", path)):
        assert str(error).encode("utf-8").endswith(rb"/d/sm\udcf8r")
    assert UserError(path).messages == [r"/d/sm\udcf8r"]
    assert RunFailed("diverged", path).reason == r"/d/sm\udcf8r"


def test_failures_have_a_status_of_the_closed_set() -> None:
    failure = RunFailed("out_of_memory", "12 GiB")
    assert (failure.status, failure.reason) == ("out_of_memory", "12 GiB")
    assert "done" in STATUSES
    for status in ("done", "exploded"):
        with pytest.raises(ValueError, match="no failure status"):
            RunFailed(status, "")
