"""Weights that were read from somewhere, under the names of our models' state dicts."""

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Weights:
    """tensors: by parameter name, tied ones under at least one of their names; heads: by site.

    where: the file or folder they come from, for messages.
    """

    tensors: Mapping[str, Tensor]
    heads: Mapping[str, int]
    where: str
