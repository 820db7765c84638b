"""Claims files: the shipped one, and every mistake of a file at once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from amad_bench.plan.claims.load import claim_hashes, load_claims
from amad_bench.plan.claims.looks import PLANNED
from amad_bench.runtime.errors import UserError

Write = Callable[[Any], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: Any) -> Path:
        path = tmp_path / "claims.yaml"
        path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
        return path

    return write


def contrast(*weights: float, **more: Any) -> dict[str, Any]:
    arms = [{"weight": weight, "loss": f"loss{place}"} for place, weight in enumerate(weights)]
    return {"over": "blocks", "arms": arms} | more


def claim(name: str = "A", **kind: Any) -> dict[str, Any]:
    return {"id": name, "text": "A beats B", "answered_by": ["configs/gpu.yaml"]} | kind


def lines(write: Write, content: Any) -> list[str]:
    with pytest.raises(UserError) as caught:
        load_claims(write(content))
    assert all("\n" not in line and "claims.yaml: " in line for line in caught.value.messages)
    return [line.split("claims.yaml: ", 1)[1] for line in caught.value.messages]


def test_the_shipped_claims(repository: Path) -> None:
    file = load_claims(repository / "configs/claims.yaml")
    ids = [each.id for each in file.claims]
    assert [name for name in ids if "-" not in name] == [f"C{number}" for number in range(1, 9)]
    assert file.looks == "once"
    for each in file.claims:
        for name in each.answered_by:
            assert name.startswith("configs/")


def test_every_mistake_has_a_line(write: Write) -> None:
    bad = """
looks: [4, 10]
clams: 3
claims:
  - id: A
    text: x
    answered_by: [a]
    contrasts:
      - {over: block, arms: [{weight: 1, loss: a}, {weight: -0.5, loss: b}]}
      - {over: blocks, where: {famly: vlt5}, arms: [{weight: 1, loss: a}, {weight: 0, loss: a}]}
      - {over: blocks, where: {family: vlt}, arms: [{weight: 1, loss: a, task: vqa}, {weight: -1, loss: b}]}
  - id: B
    text: x
    answered_by: [a]
  - id: C
    text: x
    answered_by: [a]
    slope: {arms: [{weight: 1, loss: a}]}
  - id: D
    text: x
    answered_by: [a]
    order: {over: blocks, where: {budget: steps}, losses: [a]}
"""
    assert lines(write, bad) == [
        "looks[0]: 4 is no look that can be planned; choose from the seeds 3 (level 0.005), 5 (level 0.01), "
        "10 (level 0.035)",
        "claims[0].contrasts[0].over: expected blocks or setting, found 'block'. Did you mean 'blocks'?",
        "claims[0].contrasts[0].arms: the weights sum to 0.5, expected 0 (whole numbers do: 2, -1, -1)",
        "claims[0].contrasts[1].where.famly: unknown key. Did you mean 'family'?",
        "claims[0].contrasts[1].arms[1].weight: 0 leaves the arm out; give it a weight or remove it",
        "claims[0].contrasts[1].arms[1]: the same runs as an arm before it; add their weights",
        "claims[0].contrasts[1].arms: the weights sum to 1, expected 0 (whole numbers do: 2, -1, -1)",
        "claims[0].contrasts[2].where.family: unknown family 'vlt'. Did you mean 'vlt5'?",
        "claims[0].contrasts[2].arms[1].task: missing; another arm names it, so each must",
        "claims[1]: expected exactly one of contrasts, shares, slope, order, found none",
        "claims[2].slope.arms: expected two or more arms",
        "claims[3].order.where.budget: an order compares both budgets; remove it",
        "claims[3].order.losses: expected two or more labels, found ['a']",
        "clams: unknown key. Did you mean 'claims'?",
    ]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            {"contrasts": [contrast(1, -1)] * 5},
            "claims[0].contrasts: 5 contrasts, expected at most 4 a claim; split it",
        ),
        (
            {
                "shares": [
                    {"over": "blocks", "gain": contrast(1, -1)["arms"], "gap": contrast(1, -1)["arms"]}
                ]
                * 3
            },
            "claims[0].shares: 6 contrasts, expected at most 4 a claim; split it",
        ),
        (
            {"contrasts": [contrast(1, -1)], "order": {"over": "blocks", "losses": ["a", "b"]}},
            "claims[0]: expected exactly one of contrasts, shares, slope, order, found contrasts and order",
        ),
        (
            {"contrasts": [contrast(2, -1)]},
            "claims[0].contrasts[0].arms: the weights sum to 1, expected 0 (whole numbers do: 2, -1, -1)",
        ),
        (
            {"contrasts": [contrast(1, -1, where={"budget": "flop"})]},
            "claims[0].contrasts[0].where.budget: expected steps or flops, found 'flop'. Did you mean "
            "'flops'?",
        ),
    ],
)
def test_a_claim_that_is_none(write: Write, kind: dict[str, Any], message: str) -> None:
    assert lines(write, {"claims": [claim(**kind)]}) == [message]


def test_axes_that_clash(write: Write) -> None:
    arms = [{"weight": 1, "loss": "a", "task": "vqa"}, {"weight": -1, "loss": "b", "task": "vqa"}]
    found = lines(write, {"claims": [claim(contrasts=[{"over": "blocks", "arms": arms}])]})
    assert found[0].startswith(
        "claims[0].contrasts[0].arms[0].task: over blocks, each block is a value of its"
    )
    found = lines(
        write,
        {"claims": [claim(contrasts=[{"over": "setting", "where": {"task": "vqa"}, "arms": arms}])]},
    )
    assert found[0] == "claims[0].contrasts[0].arms[0].task: `where` names it, too; keep one"


def test_four_contrasts_and_thirds_are_fine(write: Write) -> None:
    thirds = contrast(1, -1 / 3, -1 / 3, -1 / 3)
    file = load_claims(write({"claims": [claim(contrasts=[contrast(1, -1)] * 3 + [thirds])]}))
    assert len(file.claims[0].contrasts or []) == 4


def test_ids_are_distinct(write: Write) -> None:
    twice = [claim(contrasts=[contrast(1, -1)])] * 2
    assert lines(write, {"claims": twice}) == ["claims[1].id: 'A' stands in [0], too; rename one"]


@pytest.mark.parametrize("looks", [[10, 5], [5], [5, 5], "twice", 5, [True]])
def test_looks_that_are_none(write: Write, looks: Any) -> None:
    (line,) = lines(write, {"looks": looks, "claims": [claim(contrasts=[contrast(1, -1)])]})
    assert line.startswith("looks")


def test_levels_of_looks_are_those_that_were_registered() -> None:
    assert PLANNED == {3: 0.005, 5: 0.010, 10: 0.035}
    assert sum(PLANNED.values()) <= 0.05 + 1e-12  # union bound


def test_a_file_that_is_none(write: Write, tmp_path: Path) -> None:
    assert lines(write, "[1]") == ["a claims file is a mapping with the keys looks, claims"]
    with pytest.raises(UserError, match=r"none\.yaml: no such claims file"):
        load_claims(tmp_path / "none.yaml")


def test_the_hash_is_of_what_is_claimed_and_when(write: Write) -> None:
    def hash_of(**changes: Any) -> str:
        looks = changes.pop("looks", "once")
        file = {"looks": looks, "claims": [claim(contrasts=[contrast(1, -1)]) | changes]}
        return claim_hashes(load_claims(write(file)))["A"]

    known = hash_of()
    assert hash_of(answered_by=["configs/own.yaml"]) == known
    assert hash_of(contrasts=[contrast(1, -1, direction="better", where={})]) == known  # the defaults
    others = {
        hash_of(text="B beats A"),
        hash_of(looks=[5, 10]),
        hash_of(contrasts=[contrast(1, -1, direction="worse")]),
        hash_of(contrasts=[contrast(2, -2)]),
    }
    assert len(others | {known}) == 5
