"""Installed versions: an old Python is refused, and packages outside the ranges of pyproject.toml."""

import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata

from amad_bench.runtime.errors import UserError

OLDEST_PYTHON = (3, 11)


def installed_version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def check_python() -> None:
    """UserError for a Python that is too old; pip refuses it, but for a source tree on PYTHONPATH."""
    if sys.version_info < OLDEST_PYTHON:
        needed, found = (".".join(map(str, version[:3])) for version in (OLDEST_PYTHON, sys.version_info))
        raise UserError(f"Python {needed} or later is needed, {sys.executable} is {found}")


@cache
def check_versions(*packages: str) -> None:
    """UserError, a line each, for installed packages whose version is outside the promised range.

    packages: those to look at; none named: all that the command line uses. Nothing is known, and refused,
    where this package itself is not installed (a source tree on PYTHONPATH) or `packaging` is not.
    """
    if messages := list(_outside(packages)):
        raise UserError(*messages)


def _outside(packages: tuple[str, ...]) -> Iterator[str]:
    try:
        from packaging.requirements import Requirement
        from packaging.version import InvalidVersion, Version

        lines = metadata.requires("amad-bench") or []
    except ImportError:  # PackageNotFoundError is one
        return
    for requirement in map(Requirement, lines):
        used = requirement.marker is None or requirement.marker.evaluate({"extra": "pipeline"})
        version = installed_version(requirement.name)
        if not used or version is None or (packages and requirement.name not in packages):
            continue
        try:
            base = Version(version).base_version
        except InvalidVersion:  # of somebody's own build
            continue
        # Vendors call a build of 2.11 2.11.0a0+x: it counts as 2.11, and 6.0rc1 as 6.0, which is too new.
        if not requirement.specifier.contains(base):
            needed = f"{requirement.name}{requirement.specifier}"
            yield (
                f"{requirement.name} {version} is installed, amad-bench was tested with {needed} only: "
                f"run `pip install '{needed}'`"
            )
