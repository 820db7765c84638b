"""profiles/: what one says the other must not lack, and the rules that they name exist."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml


def profile(repository: Path, name: str) -> dict[str, Any]:
    return yaml.safe_load((repository / f"profiles/{name}/config.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def rules(repository: Path) -> dict[str, str]:
    """The text of each rule by its name; one that is made of another begins with `use rule`."""
    text = (repository / "Snakefile").read_text(encoding="utf-8")
    starts = [*re.finditer(r"(?m)^(?:rule|use rule \w+ as) (\w+)\b", text)]
    ends = [start.start() for start in starts[1:]] + [len(text)]
    return {start[1]: text[start.start() : end] for start, end in zip(starts, ends, strict=True)}


def test_slurm_has_all_that_is_always_so(repository: Path) -> None:
    """Where one workflow profile is given, the default one is not read."""
    slurm, always = profile(repository, "slurm"), profile(repository, "default")
    assert always
    assert {key: slurm[key] for key in always} == always


def test_every_run_is_a_job_that_is_told_of_its_end(repository: Path, rules: dict[str, str]) -> None:
    given = profile(repository, "slurm")["set-resources"]
    runs = [name for name, text in rules.items() if "amad-bench run" in text]
    runs += [name for name, text in rules.items() if text.startswith(f"use rule {runs[0]} as")]
    assert sorted(given) == sorted(runs) == ["pretrain", "student", "teacher"]
    for resources in given.values():
        assert "gpu" not in resources  # the Snakefile knows how many
        assert "--signal=TERM@" in resources["slurm_extra"]


def test_what_stays_on_the_login_node_exists(repository: Path, rules: dict[str, str]) -> None:
    text = (repository / "Snakefile").read_text(encoding="utf-8")
    named = re.search(r"(?m)^localrules:.*\n((?:    \w+,\n)+)", text)
    assert named is not None
    local = {name.strip(" ,") for name in named[1].splitlines()}
    assert local == {"all", "strict", "figures", "report", "paper"} <= set(rules)
