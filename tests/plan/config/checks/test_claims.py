"""The key `claims`: a file of one's own is checked with the config, and is part of the plan's hash."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from amad_bench.plan.claims.load import load_claims
from amad_bench.plan.plan import Plan

OWN = """
claims:
  - id: mine
    text: Logit KD beats labels
    answered_by: [own.yaml]
    contrasts: [{over: blocks, arms: [{weight: 1, loss: logit_kd}, {weight: -1, loss: ce}]}]
"""


def test_mistakes_in_the_file_are_the_configs(
    raw: dict[str, Any], errors: Callable[[Any], list[str]], tmp_path: Path
) -> None:
    path = tmp_path / "own.yaml"
    assert errors(raw | {"claims": str(path)}) == [f"claims: {path}: no such claims file; correct `claims`"]
    path.write_text(OWN.replace("weight: -1", "weight: -2"))
    (line,) = errors(raw | {"claims": str(path)})
    where = f"claims: {path}: claims[0].contrasts[0].arms"
    assert line == f"{where}: the weights sum to -1, expected 0 (whole numbers do: 2, -1, -1)"


def test_claims_are_part_of_the_plan_and_of_no_run(
    raw: dict[str, Any], planned: Callable[[Any], Plan], tmp_path: Path, repository: Path
) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    shipped, own = planned(raw), planned(raw | {"claims": str(path)})
    assert shipped.claims == load_claims(repository / "configs/claims.yaml")
    assert own.claims is not None
    assert [claim.id for claim in own.claims.claims] == ["mine"]
    assert shipped.by_id.keys() == own.by_id.keys()
    assert shipped.hash != own.hash
    path.write_text(OWN.replace("own.yaml", "other.yaml"))
    assert planned(raw | {"claims": str(path)}).hash == own.hash
    path.write_text("looks: [3, 5]\n" + OWN)
    assert planned(raw | {"claims": str(path)}).hash != own.hash
