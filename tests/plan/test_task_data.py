"""Data that the runs of a task entry share: they may be missing, and their content counts."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from amad_bench.plan.grid import possible_runs
from amad_bench.plan.plan import Plan
from amad_bench.runtime.errors import UserError

Raw = dict[str, Any]
Planned = Callable[[Any], Plan]


def with_real_data(raw: Raw) -> Raw:
    """Captions of Flickr8k beside the scenes."""
    raw = deepcopy(raw)
    raw["datasets"]["flickr8k"] = {}
    raw["tasks"].append({**raw["tasks"][1], "dataset": "flickr8k"})
    return raw


def test_a_task_entry_without_its_data_is_skipped_with_the_reason(
    raw: Raw, planned, load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = planned(raw)
    monkeypatch.delenv("AMAD_DATA", raising=False)
    plan = planned(with_real_data(raw))
    assert [run.id for run in plan.runs] == [run.id for run in without.runs]
    skip = next(skip for skip in plan.skipped if skip.setting == "blip-captioning-flickr8k")
    assert (skip.family, skip.task, skip.dataset) == ("blip", "captioning", "flickr8k")
    assert "AMAD_DATA is not set" in skip.reason
    # A teacher; ce, logit_kd and amad, two replicates each; one_to_one would be skipped anyway.
    config = load(with_real_data(raw))
    assert len(possible_runs(config, config.tasks[-1])) == 1 + 6
    monkeypatch.setenv("AMAD_DATA", str(tmp_path))
    reasons = [skip.reason for skip in planned(with_real_data(raw)).skipped]
    assert any(
        reason.startswith("missing below AMAD_DATA: flickr8k/Flickr8k.token.txt") for reason in reasons
    )


def test_a_plan_whose_data_are_all_missing_is_an_error(raw: Raw, planned, monkeypatch) -> None:
    monkeypatch.delenv("AMAD_DATA", raising=False)
    raw = with_real_data(raw)
    raw["tasks"] = raw["tasks"][2:]
    with pytest.raises(UserError, match="everything is skipped: AMAD_DATA is not set"):
        planned(raw)


def test_a_run_depends_on_the_content_of_its_tokenizer(
    raw: Raw, planned, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMAD_DATA", str(tmp_path))
    (tmp_path / "t5").mkdir()
    (tmp_path / "t5" / "spiece.model").write_text("one")
    for entry in raw["tasks"]:
        del entry["vocabulary"]
        entry["tokenizer"] = "t5"
    before = planned(raw)
    assert before.runs[0].config.tokenizer.folder == "t5"
    (tmp_path / "t5" / "spiece.model").write_text("two")
    assert not before.by_id.keys() & planned(raw).by_id.keys()
