"""Ranking of answers: their losses, and which of them go through the decoder together.

Axes: B questions, k answers of each, L tokens, V vocabulary.
"""

from collections.abc import Iterator

from torch import Tensor
from torch.nn.functional import cross_entropy


def summed_loss(logits_BLV: Tensor, labels_BL: Tensor) -> Tensor:
    """(B,): flat, since cross-entropy of three axes has no deterministic kernel on CUDA."""
    loss_N = cross_entropy(logits_BLV.flatten(0, 1), labels_BL.flatten(), ignore_index=-100, reduction="none")
    return loss_N.view_as(labels_BL).sum(1)


def groups_of_answers(lengths_Bk: Tensor, tokens: int) -> Iterator[tuple[slice, slice, int]]:
    """Groups of at most so many tokens, or of one answer: questions, places among their answers, the longest.

    lengths_Bk: of each question's answers, ascending.
    """
    number, places = lengths_Bk.shape
    longest = int(lengths_Bk.max())
    at_once = max(1, min(number, tokens // longest))
    for first in range(0, number, at_once):
        questions = slice(first, min(first + at_once, number))
        longest_k = lengths_Bk[questions].amax(dim=0).tolist()
        start = 0
        while start < places:
            end = start + 1
            while end < places and (questions.stop - first) * (end + 1 - start) * longest_k[end] <= tokens:
                end += 1
            yield questions, slice(start, end), longest_k[end - 1]
            start = end
