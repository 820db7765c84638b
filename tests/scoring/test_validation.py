"""A fake model with known probabilities; the expected values follow from them on paper."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from amad_bench.data.images.pixels import StoredPixels
from amad_bench.data.tasks.data import Split
from amad_bench.runtime.errors import UserError
from amad_bench.scoring.validation import token_accuracy_and_loss

NO_IMAGES = StoredPixels(ids=[], pixels_M3SS=np.zeros((0, 3, 1, 1), np.uint8))


def split_of(targets: list[list[int]]) -> Split:
    n = len(targets)
    return Split(
        example_ids=[str(i) for i in range(n)],
        cluster_ids=[str(i) for i in range(n)],
        source_ids_NL=np.ones((n, 1), np.int64),
        target_ids_NL=np.array(targets, np.int64).reshape(n, len(targets[0]) if n else 1),
        image_rows_N=np.full(n, -1),
        references=[["x"]] * n,
        groups=[{}] * n,
        answer_scores=[{}] * n,
        pad=0,
    )


class Constant(nn.Module):
    """Gives token 1 the probability 1/2 and tokens 0, 2 one quarter each, everywhere."""

    def forward(self, labels, **_):
        assert not self.training
        assert not torch.is_grad_enabled()
        logits_V = torch.tensor([0.25, 0.5, 0.25]).log() + 7.0
        return SimpleNamespace(logits=logits_V.expand(*labels.shape, 3))


@pytest.mark.parametrize("batch", [1, 2, 256])
def test_mean_over_tokens_not_over_examples(batch):
    model = Constant()
    # 4 tokens, 3 right; the padding (0) counts nowhere
    accuracy, loss = token_accuracy_and_loss(
        model, split_of([[2, 1, 1], [1, 0, 0]]), NO_IMAGES, "cpu", batch=batch
    )
    assert accuracy == 0.75
    assert loss == pytest.approx((3 * math.log(2) + math.log(4)) / 4, abs=1e-6)
    assert model.training


def test_a_batch_without_a_token_changes_nothing():
    accuracy, loss = token_accuracy_and_loss(
        Constant(), split_of([[0, 0], [1, 1]]), NO_IMAGES, "cpu", batch=1
    )
    assert accuracy == 1.0
    assert loss == pytest.approx(math.log(2), abs=1e-6)


@pytest.mark.parametrize("targets", [[], [[0, 0]]])
def test_no_token_at_all(targets):
    with pytest.raises(UserError, match="no target token"):
        token_accuracy_and_loss(Constant(), split_of(targets), NO_IMAGES, "cpu", batch=2)
