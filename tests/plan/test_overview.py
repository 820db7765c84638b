"""A plan as text for people."""

from pathlib import Path

import pytest

from amad_bench.plan.overview import overview
from tests.data.official_tree import write_official


def test_a_part_of_the_official_files_is_announced(
    raw, planned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMAD_DATA", str(write_official(tmp_path / "data")))
    raw["datasets"]["coco"] = {"subset": True}
    raw["tasks"][1]["dataset"] = "coco"
    said = "coco: its files may be a part of the official ones (subset: true)"
    assert said in overview(planned(raw)).splitlines()
    raw["datasets"]["coco"]["subset"] = False
    assert "subset" not in overview(planned(raw))


def test_students_of_several_sizes_have_rows_of_their_own(raw, planned) -> None:
    size = raw["models"]["vlt5"].pop("student")
    raw["models"]["vlt5"]["students"] = {"calm": size, "wild": {**size, "dropout": 0.5}}
    rows = overview(planned(raw)).split("\n")
    for name in ("calm", "wild"):
        assert sum(row.startswith(f"vlt5 vqa scenes 8 -> 2 heads ({name})") for row in rows) == 1
