"""A claims file, read and checked: every mistake is reported, all at once; and the hash of a claim."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from amad_bench.plan.claims.schema import Claim, ClaimsFile
from amad_bench.plan.config.messages import explain
from amad_bench.plan.config.yaml_file import read_yaml
from amad_bench.plan.run_config import short_hash
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.paths import CLAIMS, shipped

HASH_DIGITS = 12


def claims_path(asked: str | None) -> Path:
    """Path of the claims file that a config asks for."""
    return shipped(CLAIMS) if asked is None else Path(asked)


def registered_claims(asked: str | None) -> ClaimsFile | None:
    """The claims that a config asks for; None where it asks for none and none are shipped, as in a wheel.

    UserError with one line for each mistake in the file.
    """
    path = claims_path(asked)
    return None if asked is None and not path.exists() else load_claims(path)


def load_claims(path: Path) -> ClaimsFile:
    """The checked claims; UserError with one line for each mistake in the file."""
    if not path.exists():
        raise UserError(f"{path}: no such claims file; correct `claims`")
    raw = read_yaml(path)
    if not isinstance(raw, Mapping):
        raise UserError(
            f"{path}: a claims file is a mapping with the keys {', '.join(ClaimsFile.model_fields)}"
        )
    try:
        return ClaimsFile.model_validate(raw)
    except ValidationError as error:
        problems = [line for found in error.errors(include_url=False) for line in explain(found, ClaimsFile)]
        raise UserError(*(f"{path}: {problem}" for problem in problems)) from None


def claim_hash(claim: Claim, file: ClaimsFile) -> str:
    """Hash of what is claimed and of when it may be judged; where it can be answered is no part of it."""
    return short_hash(
        {"claim": claim.model_dump(mode="json", exclude={"answered_by"}), "looks": file.looks}, HASH_DIGITS
    )


def claim_hashes(file: ClaimsFile) -> dict[str, str]:
    """The hash of each claim, by its id."""
    return {claim.id: claim_hash(claim, file) for claim in file.claims}
