"""Imports without a search for garbage: what is found afterwards, and what is not."""

import gc
import weakref

import pytest

from amad_bench.runtime.imports import many_imports


class _Circle:
    def __init__(self) -> None:
        self.own = self


@pytest.fixture(autouse=True)
def _thawed() -> "object":  # pyright: ignore[reportUnusedFunction]
    yield
    gc.unfreeze()


def test_nothing_is_searched_inside_and_what_came_inside_never_again() -> None:
    with many_imports():
        assert not gc.isenabled()
        imported = _Circle()
    assert gc.isenabled()
    kept, later = weakref.ref(imported), weakref.ref(_Circle())
    del imported
    gc.collect()
    assert later() is None
    assert kept() is not None


def test_searches_go_on_after_a_failed_import() -> None:
    with pytest.raises(ImportError), many_imports():
        import amad_bench.no_such_module  # pyright: ignore[reportMissingImports] # noqa: F401
    assert gc.isenabled()


def test_who_switched_searches_off_finds_them_off() -> None:
    gc.disable()
    try:
        with many_imports():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
