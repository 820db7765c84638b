"""Check of the claims file that a config names."""

from collections.abc import Iterator

from amad_bench.plan.claims.load import registered_claims
from amad_bench.plan.config.schema import Config
from amad_bench.runtime.errors import UserError


def check_claims(config: Config) -> Iterator[str]:
    """Messages about the file of `claims`, without the config's name."""
    try:
        registered_claims(config.claims)
    except UserError as error:
        yield from (f"claims: {message}" for message in error.messages)
