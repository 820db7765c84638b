"""A config file, read and checked: every mistake is reported, all at once, before anything runs."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from amad_bench.plan.config.checks import check_meaning
from amad_bench.plan.config.messages import explain
from amad_bench.plan.config.schema import Config
from amad_bench.plan.config.yaml_file import read_yaml
from amad_bench.plan.limits import MOST_STUDENTS
from amad_bench.runtime.errors import UserError


def load_config(path: Path | str) -> Config:
    """The checked config; UserError with one line for each mistake in the file.

    Meaning is checked once keys, types and names are right, so that mistakes may come in two rounds;
    a wrong entry of a list or a mapping may hide what is wrong with all of it.
    """
    raw = read_yaml(Path(path))
    if not isinstance(raw, Mapping):
        raise UserError(f"{path}: a config is a mapping with the keys {', '.join(Config.model_fields)}")
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        problems = [line for details in error.errors(include_url=False) for line in explain(details, Config)]
        raise UserError(*(f"{path}: {problem}" for problem in problems)) from None
    if problems := check_meaning(config):
        raise UserError(*(f"{path}: {problem}" for problem in problems))
    if config.students > MOST_STUDENTS:
        raise UserError(
            f"{path}: {config.students:,} students are asked for, expected at most {MOST_STUDENTS:,}: lower "
            "`replicates`, or shorten the lists of heads, pre-training and losses"
        )
    return config
