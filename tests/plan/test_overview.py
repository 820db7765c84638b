"""A plan as text for people."""

from pathlib import Path

import pytest

from amad_bench.plan.overview import overview
from tests.data.official_tree import write_official
from tests.plan.config.checks.test_pretraining import TRAINING


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


def test_students_that_settings_share_stand_once(raw, planned) -> None:
    raw["models"]["vlt5"]["order_embedding"] = True
    training = {family: {"vl": dict(TRAINING)} for family in raw["models"]}
    raw["pretraining"] = {"teacher": ["none", "vl"], "student": ["none", "vl"], "training": training}
    raw["losses"] = [{"name": "ce"}, {"name": "amad"}]
    rows = [row.rsplit(maxsplit=4) for row in overview(planned(raw)).split("\n") if " 8 -> 2 " in row]
    found = {setting: counts for setting, *counts in rows if setting.startswith("vlt5")}
    shared, of_setting = ["-", "-", "2", "-"], ["-", "-", "-", "2"]
    assert found == {
        "vlt5 vqa scenes 8 -> 2 heads, any -> none": shared,
        "vlt5 vqa scenes 8 -> 2 heads, any -> vl": shared,
        "vlt5 vqa scenes 8 -> 2 heads": of_setting,
        **{
            f"vlt5 vqa scenes 8 -> 2 heads, {pair}": of_setting
            for pair in ("none -> vl", "vl -> none", "vl -> vl")
        },
    }
    raw["pretraining"]["teacher"] = ["vl"]  # one setting for each of its own conditions: no row of its own
    assert "any ->" not in overview(planned(raw))


def test_teachers_and_assistants_of_a_block_say_so(raw, planned) -> None:
    raw |= {"teacher_per": "block", "heads": {"teacher": [8], "student": [2, 4]}}
    raw["losses"] = [
        {"name": "amad"},
        {"name": "amad", "label": "via_4", "assistant": {"heads": 4, "loss": "amad_kl"}},
    ]
    rows = [row.split() for row in overview(planned(raw)).split("\n") if row.startswith("vlt5")]
    assert [(" ".join(row[3:-3]), *row[-3:]) for row in rows] == [
        ("8 heads of 8 -> 2", "1", "-", "-"),
        ("8 heads of 8 -> 4", "1", "-", "-"),
        ("8 -> 2 heads", "-", "2", "2"),
        ("8 -> 4 heads of 8 -> 2", "-", "2", "-"),
        ("8 -> 4 heads", "-", "2", "2"),
    ]
