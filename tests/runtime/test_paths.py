"""What the repository ships, and the folder with real data."""

from pathlib import Path

import pytest

from amad_bench.runtime import paths
from amad_bench.runtime.errors import UserError


def test_what_the_repository_ships_is_found_from_elsewhere(
    tmp_path: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (paths.DEFAULT_CONFIG, paths.TEMPLATE, paths.MANIFESTS):
        assert paths.shipped(path) == repository / path
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).touch()
        assert paths.shipped(path) == path
    monkeypatch.setattr(paths, "_SOURCE_TREE", tmp_path / "absent")
    assert paths.shipped(Path("paper/other.typ")) == Path("paper/other.typ")


def test_amad_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMAD_DATA", str(tmp_path))
    assert paths.amad_data() == tmp_path
    monkeypatch.setenv("AMAD_DATA", str(tmp_path / "absent"))
    with pytest.raises(UserError, match="no such folder"):
        paths.amad_data()
    monkeypatch.setenv("AMAD_DATA", "~nobody-known/data")
    with pytest.raises(UserError, match="AMAD_DATA=~nobody-known/data: no such folder"):
        paths.amad_data()
    for unset in (lambda: monkeypatch.setenv("AMAD_DATA", ""), lambda: monkeypatch.delenv("AMAD_DATA")):
        unset()
        with pytest.raises(UserError, match="AMAD_DATA is not set"):
            paths.amad_data()
