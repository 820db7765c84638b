"""Versions outside the promised ranges are refused in one line."""

import sys
from collections.abc import Callable, Iterator
from importlib import metadata

import pytest

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.versions import check_versions, installed_version

REQUIRES = ["torch<3,>=2.11", 'transformers<5.25,>=5.17; extra == "pipeline"', 'jax>=9; extra == "other"']


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    check_versions.cache_clear()
    yield
    check_versions.cache_clear()


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes these packages the only ones that are installed."""

    def install(requires: list[str] | None = REQUIRES, **versions: str) -> None:
        def version(name: str) -> str:
            if name not in versions:
                raise metadata.PackageNotFoundError(name)
            return versions[name]

        monkeypatch.setattr(metadata, "version", version)
        monkeypatch.setattr(metadata, "requires", lambda _name: requires)

    return install


@pytest.mark.parametrize(
    "versions",
    [
        {"torch": "2.11.0", "transformers": "5.17.0"},
        {"torch": "2.14.1", "transformers": "5.24.3", "jax": "7.0"},  # of another extra: not ours to refuse
        {"torch": "2.13.0+cu130"},  # a build's name; no transformers, as in a core install
        {"torch": "2.11.0a0+6ab3c0de.nv26.03"},  # NVIDIA's containers
        {"torch": "2.12.0.dev20260301", "transformers": "5.24.0.post1"},
        {},
    ],
)
def test_versions_inside_the_range(install: Callable[..., None], versions: dict[str, str]) -> None:
    install(**versions)
    check_versions()


@pytest.mark.parametrize("version", ["5.10.1", "5.16.9", "5.25.0", "5.25.0.dev0", "6.0.0rc1"])
def test_a_version_outside_is_one_line(install: Callable[..., None], version: str) -> None:
    install(torch="2.11.0", transformers=version)
    with pytest.raises(UserError) as caught:
        check_versions()
    assert caught.value.messages == [
        f"transformers {version} is installed, amad-bench was tested with transformers<5.25,>=5.17 only:"
        " run `pip install 'transformers<5.25,>=5.17'`"
    ]


def test_a_line_each_and_only_of_those_asked_for(install: Callable[..., None]) -> None:
    install(torch="2.8.0", transformers="5.10.1")
    with pytest.raises(UserError) as caught:
        check_versions()
    assert [line.split(" is installed")[0] for line in caught.value.messages] == [
        "torch 2.8.0",
        "transformers 5.10.1",
    ]
    with pytest.raises(UserError, match=r"^transformers 5\.10\.1 is installed.*$"):
        check_versions("transformers")
    install(torch="2.8.0", transformers="5.17.0")
    check_versions("transformers")


def test_nothing_is_known_of_a_source_tree_that_is_not_installed(
    install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install(torch="2.8.0")

    def requires(name: str) -> list[str]:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", requires)
    check_versions()


def test_nor_without_packaging(install: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    install(torch="2.8.0")
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)
    check_versions()


def test_what_is_installed() -> None:
    assert installed_version("pytest") == pytest.__version__
    assert installed_version("no-such-package") is None
