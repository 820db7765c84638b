"""The result of a comparison of two layers."""

from typing import NamedTuple

from torch import Tensor


class Compared(NamedTuple):
    """A scalar, the mean over samples with a valid entry; and how heads were aligned, if they were.

    alignment_HG: without gradient, the mean over the same samples.
    """

    loss: Tensor
    alignment_HG: Tensor | None = None
