"""Means over a part of a batch as its summands of the means over the whole batch.

The mean of the parts' means is another number than the mean over the whole batch, as soon as the parts have
unequally many tokens, or samples with something to compare. With a part's mean m_p over its n_p of them and
N in all, the whole batch's mean is the sum over parts of m_p n_p / N. n_p / N is exactly 1 for a part that
is the whole, so that nothing changes then. `Trace.totals` has the N; without it every function here returns
the mean as it came. N = 0: all means are 0, and so is their sum.
"""

from torch import Tensor

from amad_bench.models.attention.trace import Trace


def over_tokens(mean: Tensor, counted_BL: Tensor, student: Trace) -> Tensor:
    """A mean over the target tokens that are True."""
    if student.totals is None:
        return mean
    return mean * _share(mean, counted_BL.sum(), student.totals.tokens)


def over_samples(mean: Tensor, student: Trace) -> Tensor:
    """A mean over all samples."""
    if student.totals is None:
        return mean
    return mean * (len(student.labels_BL) / max(1, student.totals.samples))


def over_site(mean: Tensor, counted_B: Tensor, site: str, student: Trace) -> Tensor:
    """A mean, of any shape, over the samples that are True, those with a valid entry at the site.

    Raises ValueError where the totals do not name the site.
    """
    if student.totals is None:
        return mean
    if site not in student.totals.by_site:
        raise ValueError(f"the batch's totals lack the site {site!r}; they have {[*student.totals.by_site]}")
    return mean * _share(mean, counted_B.sum(), student.totals.by_site[site])


def _share(mean: Tensor, counted: Tensor, whole: int) -> Tensor:
    """counted / whole in the mean's precision; `counted` stays on its device, for which nothing waits."""
    return counted.to(mean.dtype) / max(1, whole)
