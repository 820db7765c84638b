"""Costs of losses of attention: operations of their matrix products, forward and backward, of one example.

Counted as those of models are (catalogue.costs): 2 for each multiply-add of matrix products, masked entries
too; softmax, logarithms and sums over entries do not count. The scores that maps are made of are counted by
`plan.cost.loss_cost`, alike for all losses that read maps; here stands what a loss computes from them. The
source is what the losses run: tests hold each formula against torch's count of it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from amad_bench.plan.catalogue.costs import Sizes

BOTH_WAYS = 3  # a forward product and two for the gradients of its factors


class Compared(NamedTuple):
    """A layer of a teacher and one of a student at a site, with numbers of queries and keys."""

    teacher: Sizes
    student: Sizes
    queries: int
    keys: int

    @property
    def across(self) -> int:
        """Inner products of all teacher's with all student's maps, or as many multiply-adds."""
        return 2 * self.teacher.heads * self.student.heads * self.queries * self.keys

    @property
    def within(self) -> int:
        """Inner products of the student's maps with each other."""
        return 2 * self.student.heads**2 * self.queries * self.keys


class Products(Protocol):
    """Operations on one pair of layers; options: of the loss, all of them."""

    def __call__(self, compared: Compared, options: Mapping[str, Any]) -> int: ...


def inner_width(side: Sizes) -> int:
    return side.heads * side.head_size


def nothing_more(compared: Compared, options: Mapping[str, Any]) -> int:
    """Maps are compared entry by entry."""
    del compared, options
    return 0


def matched(compared: Compared, options: Mapping[str, Any]) -> int:
    """Similarities without a gradient, and for `mse` the lengths of mixtures."""
    return compared.across + (compared.within if options["distance"] == "mse" else 0)


def mixed(compared: Compared, options: Mapping[str, Any]) -> int:
    """Mixtures of the student's maps by given weights: forward, and with similarities for their gradient."""
    if options["distance"] == "mse":
        return 2 * compared.across + compared.within
    return 4 * compared.across


def aligned(compared: Compared, options: Mapping[str, Any]) -> int:
    """Mixtures by weights that depend on similarities, and the gradient through both."""
    if options.get("variant", options.get("distance")) == "mse":
        return 2 * compared.across + compared.within
    projection = 0
    if options.get("variant") == "projected":
        entries = compared.queries * compared.keys
        projection = BOTH_WAYS * 2 * compared.student.heads * entries**2 - compared.across
    through = 0 if options["detach_alignment"] else compared.across
    return 5 * compared.across + through + compared.within + projection


def convolved(compared: Compared, options: Mapping[str, Any]) -> int:
    """A learned 1 x 1 convolution of the student's maps."""
    del options
    return BOTH_WAYS * compared.across


def values_related(compared: Compared, options: Mapping[str, Any]) -> int:
    """Products of values with values, of the student with gradients."""
    del options
    return _related(compared, compared.keys**2)


def all_related(compared: Compared, options: Mapping[str, Any]) -> int:
    """Products of queries, of keys and of values with each other, whatever heads they are cut into."""
    del options
    return _related(compared, compared.queries**2 + 2 * compared.keys**2)


def hidden_mapped(compared: Compared, options: Mapping[str, Any]) -> int:
    """A learned map from the student's width to the teacher's."""
    del options
    return BOTH_WAYS * 2 * compared.queries * compared.student.width * compared.teacher.width


def squeezed(compared: Compared, options: Mapping[str, Any]) -> int:
    """The teacher's values in model space, and two products with maps for each head that is merged away."""
    del options
    teacher, keys = compared.teacher, compared.keys
    values = 2 * keys * inner_width(teacher) * teacher.width
    merged = teacher.heads - compared.student.heads
    return values + merged * 2 * (2 * compared.queries * keys * teacher.width)


def _related(compared: Compared, pairs: int) -> int:
    return 2 * pairs * (BOTH_WAYS * inner_width(compared.student) + inner_width(compared.teacher))
