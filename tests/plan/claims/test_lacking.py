"""What a plan can answer, held against plans whose grid is known."""

from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from amad_bench.plan.claims.cells import independent, units
from amad_bench.plan.claims.lacking import asked_by, lacking
from amad_bench.plan.claims.load import load_claims
from amad_bench.plan.claims.planned import planned_runs
from amad_bench.plan.claims.report import claims_report, power_of_one_sd
from amad_bench.plan.claims.schema import Arm, Claim, ClaimsFile, Where
from amad_bench.plan.config.load import load_config
from amad_bench.plan.grid import possible_plan
from amad_bench.plan.plan import Plan

Raw = dict[str, Any]
Planned = Callable[[Any], Plan]


@pytest.fixture
def five_blocks(raw: Raw) -> Raw:
    """Five blocks of two seeds, with images and teachers of their own: VL-T5 on three tasks, BLIP on two."""
    by_task = {(entry["family"], entry["task"]): entry for entry in raw["tasks"]}
    vlt5, blip = by_task["vlt5", "vqa"], by_task["blip", "captioning"]
    more = [deepcopy(vlt5) | {"task": task} for task in ("captioning", "translation")]
    return raw | {
        "tasks": [vlt5, *more, blip, deepcopy(blip) | {"task": "vqa"}],
        "teacher_per": "block",
        "scenes_per": "block",
        "losses": [
            {"name": "ce"},
            {"name": "logit_kd"},
            {"name": "one_to_one", "drop": "extra"},
            {"name": "amad", "variant": "kl"},
        ],
    }


@pytest.fixture
def shipped(repository: Path) -> dict[str, Claim]:
    return {claim.id: claim for claim in load_claims(repository / "configs/claims.yaml").claims}


def arms(*losses: str, **axes: Any) -> list[Arm]:
    return [Arm(weight=1.0 if place == 0 else -1.0, loss=loss, **axes) for place, loss in enumerate(losses)]


def test_shipped_claims_on_five_blocks(planned: Planned, five_blocks: Raw, shipped: dict[str, Claim]) -> None:
    runs = planned_runs(planned(five_blocks))
    assert {name: lacking(claim, runs) for name, claim in shipped.items()} == {
        "C1": [],
        "C1-vlt5": ["5 independent blocks (there are 3)"],
        "C1-blip": ["5 independent blocks (there are 2)"],
        "C2": ["teachers with pre-training vl", "students with pre-training vl"],
        "C3": ["teachers with pre-training vl", "students with pre-training vl"],
        "C4": ["loss amad_mse", "loss amad_projected", "loss amad_token"],
        "C5": ["loss student_mean"],
        "C6": ["two or more head gaps (there is 1)"],
        "C7": ["loss amad_kl_sharp (did you mean 'amad_kl'?)"],
        "C8": ["budget flops", "loss student_mean"],
    }


def test_the_report_says_what_five_blocks_with_two_seeds_can_say(
    planned: Planned, five_blocks: Raw, repository: Path
) -> None:
    path = repository / "configs/claims.yaml"
    text = claims_report(path, load_claims(path), planned(five_blocks))
    assert "C1 (" in text
    assert "): answerable here: 5 blocks, 2 seeds" in text
    assert "missing: loss student_mean; configs/gpu.yaml" in text
    assert "is shown in 66 % with 5 blocks of 2 seeds and 9 % with 1 block of 2 seeds" in text


def test_a_design_is_said_once(planned: Planned, five_blocks: Raw, tmp_path: Path) -> None:
    arms = [{"weight": 1, "loss": "amad_kl"}, {"weight": -1, "loss": "ce"}]
    common = {"text": "t", "answered_by": ["c.yaml"]}
    where = {"family": "vlt5", "task": "vqa"}
    claims = [
        {"id": "all", **common, "contrasts": [{"over": "blocks", "arms": arms}]},
        {"id": "one", **common, "contrasts": [{"over": "setting", "where": where, "arms": arms}]},
    ]
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump({"looks": "once", "claims": claims}))
    text = claims_report(path, load_claims(path), planned(five_blocks))
    assert text.count("% with 1 block of 2 seeds") == 1
    assert text.count("% with 5 blocks of 2 seeds") == 1


@pytest.mark.parametrize(
    ("blocks", "seeds", "power"),  # of the specification, simulated there
    [
        (5, 1, 0.40),
        (5, 2, 0.66),
        (5, 3, 0.82),
        (8, 1, 0.68),
        (8, 2, 0.93),
        (8, 3, 0.99),
        (1, 2, 0.09),
        (1, 3, 0.18),
    ],
)
def test_power_for_one_standard_deviation(blocks: int, seeds: int, power: float) -> None:
    assert power_of_one_sd(blocks, seeds, 0.05) == pytest.approx(power, abs=0.005)


def test_a_look_that_the_seeds_never_reach(
    planned: Planned, five_blocks: Raw, shipped: dict[str, Claim]
) -> None:
    file = ClaimsFile(looks=[3, 5], claims=[shipped["C1"]])
    text = claims_report(Path("c.yaml"), file, planned(five_blocks))
    assert "looks at 3 and 5 seeds, levels 0.005 and 0.01" in text
    assert "missing: a planned look at 2 seeds (there are 3 and 5)" in text
    assert "answerable here: 5 blocks, 3 seeds" in claims_report(
        Path("c.yaml"), file, planned(five_blocks | {"replicates": 3})
    )


@pytest.mark.parametrize(
    ("teacher_per", "scenes_per", "count"),
    [("sweep", "sweep", 1), ("block", "sweep", 1), ("block", "block", 4), ("replicate", "block", 4)],
)
def test_blocks_that_share_a_teacher_or_images_are_one(
    planned: Planned, raw: Raw, teacher_per: str, scenes_per: str, count: int
) -> None:
    """As the tables count them (`analysis/blocks/sharing`), which read it from the runs."""
    raw |= {"heads": {"teacher": [8], "student": [4, 2]}, "losses": [{"name": "ce"}, {"name": "logit_kd"}]}
    raw |= {"teacher_per": teacher_per, "scenes_per": scenes_per}
    found = units(arms("logit_kd", "ce"), Where(), "blocks", planned_runs(planned(raw)))
    assert len(found) == 4
    assert len(independent(found)) == count


def test_pretraining_pairs_are_averaged_in_a_block(planned: Planned, raw: Raw) -> None:
    teaching = deepcopy(raw["tasks"][0]["teacher"])
    raw["models"]["vlt5"]["order_embedding"] = True
    raw |= {"losses": [{"name": "ce"}, {"name": "logit_kd"}], "tasks": raw["tasks"][:1]}
    raw["pretraining"] = {
        "teacher": ["none", "vl"],
        "student": ["none", "vl"],
        "training": {"vlt5": {"vl": teaching}},
    }
    raw["models"].pop("blip")
    raw["sites"].pop("blip")
    runs = planned_runs(planned(raw))
    (unit,) = units(arms("logit_kd", "ce"), Where(), "blocks", runs)
    assert [weight for weight, _ in unit.arms] == [0.25, -0.25] * 4
    (unit,) = units(arms("logit_kd", "ce"), Where(pretraining="vl"), "blocks", runs)
    assert {found.axes["pretraining"] for _, found in unit.arms} == {"vl"}
    assert [weight for weight, _ in unit.arms] == [0.5, -0.5] * 2
    assert len(units(arms("logit_kd", "ce"), Where(), "setting", runs)) == 4  # a setting each
    # an untaught student stands in the settings of both teachers, and is one run
    same = {found.run_ids[0] for _, found in unit.arms if found.axes["loss"] == "ce"}
    assert len(same) == 1


def test_arms_in_other_blocks(planned: Planned, raw: Raw) -> None:
    raw |= {"heads": {"teacher": [8], "student": [4, 2]}, "losses": [{"name": "ce"}, {"name": "logit_kd"}]}
    runs = planned_runs(planned(raw))
    two, four = (Arm(weight=w, loss="logit_kd", student_heads=h) for w, h in ((1.0, 2), (-1.0, 4)))
    (unit,) = units([two, four], Where(family="vlt5"), "setting", runs)
    assert [found.axes["student_heads"] for _, found in unit.arms] == [2, 4]


def test_a_setting_must_be_one_with_two_seeds(planned: Planned, raw: Raw) -> None:
    def of(where: dict[str, Any]) -> Claim:
        contrast = {
            "over": "setting",
            "where": where,
            "arms": [a.model_dump() for a in arms("amad_kl", "ce")],
        }
        return Claim.model_validate({"id": "A", "text": "t", "answered_by": ["c"], "contrasts": [contrast]})

    raw["losses"] = [{"name": "ce"}, {"name": "amad", "variant": "kl"}]
    runs = planned_runs(planned(raw))
    assert lacking(of({}), runs) == ["a single setting: 2 fit, name family and task in `where`"]
    assert lacking(of({"family": "blip"}), runs) == []
    raw["replicates"] = 1
    assert lacking(of({"family": "blip"}), planned_runs(planned(raw))) == ["2 seeds (there is 1)"]


def test_combinations_and_heads_that_are_missing(
    planned: Planned, raw: Raw, shipped: dict[str, Claim]
) -> None:
    raw["losses"] = [{"name": "ce"}, {"name": "amad", "variant": "kl"}]
    runs = planned_runs(planned(raw))
    contrast = {
        "over": "setting",
        "where": {"family": "blip", "task": "vqa", "heads": "equal"},
        "arms": [arm.model_dump() for arm in arms("amad_kl", "ce")],
    }
    claim = Claim.model_validate({"id": "A", "text": "t", "answered_by": ["c"], "contrasts": [contrast]})
    assert lacking(claim, runs) == ["equal numbers of heads of teacher and student"]
    contrast["where"] = {"family": "blip", "task": "vqa"}
    claim = Claim.model_validate({"id": "A", "text": "t", "answered_by": ["c"], "contrasts": [contrast]})
    assert lacking(claim, runs)[0] == "runs with family blip, task vqa and loss amad_kl at once"
    assert len(asked_by(shipped["C8"])) == 20  # ten pairs of five losses, at both budgets


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpu", "night", "default"])
def test_shipped_configs_answer_what_claims_name_them_for(
    name: str, shipped: dict[str, Claim], repository: Path
) -> None:
    path = repository / f"configs/{name}.yaml"
    runs = planned_runs(possible_plan(load_config(path)))
    answered = {claim.id for claim in shipped.values() if not lacking(claim, runs)}
    assert answered == {claim.id for claim in shipped.values() if f"configs/{name}.yaml" in claim.answered_by}


@pytest.mark.parametrize(("name", "said"), [("paper", True), ("default", False)])
def test_blocks_that_share_photos_are_said_to(repository: Path, name: str, said: bool) -> None:
    path = repository / "configs/claims.yaml"
    text = claims_report(
        path, load_claims(path), possible_plan(load_config(repository / f"configs/{name}.yaml"))
    )
    assert ("  blocks share photos of real data: " in text) == said
