"""Teacher-forced validation during training: cheap, and the same for every task."""

from contextlib import closing
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from amad_bench.data.images.table import ImageTable
from amad_bench.data.placing import placed
from amad_bench.data.tasks.batches import evaluation_order
from amad_bench.data.tasks.data import Split
from amad_bench.data.tasks.loader import batches
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.precision import FP32, Precision, forward_pass
from amad_bench.runtime.ranks import ALONE, Ranks, in_turns
from amad_bench.scoring.decode import evaluating


def token_accuracy_and_loss(
    model: nn.Module,
    split: Split,
    images: ImageTable,
    device: str | torch.device,
    batch: int,
    workers: int = 0,
    ranks: Ranks = ALONE,
    precision: Precision = FP32,
) -> tuple[float, float]:
    """Share of right target tokens and mean cross-entropy (nats), over all tokens whose label is not -100.

    The logits (B, L, V) stand at their labels' (B, L) places. The model's mode is restored. `batch`: that of
    the training, which needs more memory. `ranks`: take turns at whole batches, so that the numbers are those
    of one process. UserError when there is no token.
    """
    found: list[tuple[Tensor, Tensor, int]] = []  # of each batch; on the device, which nothing waits for yet
    order = islice(evaluation_order(split, batch), ranks.rank, None, ranks.world)
    loader = batches(split, images, order, device, workers)
    with evaluating(model), torch.no_grad(), closing(loader):
        for _, examples in loader:
            with forward_pass(precision, device):
                logits_BLV = model(**examples.inputs, labels=examples.labels_BL).logits
            targets = torch.from_numpy(np.flatnonzero(examples.host_masks.target_BT))
            targets_N = placed(targets, device)  # a mask would have to be looked at
            logits_NV, labels_N = logits_BLV.flatten(0, 1)[targets_N], examples.labels_BL.flatten()[targets_N]
            right = (logits_NV.argmax(-1) == labels_N).sum()
            loss = cross_entropy(logits_NV.float(), labels_N, reduction="sum")
            found.append((right, loss, examples.target_tokens))
    own = [(int(right), float(loss), tokens) for right, loss, tokens in found]
    right, loss, tokens = (
        sum(numbers) for numbers in zip(*[(0, 0.0, 0), *in_turns(ranks.gathered(own))], strict=True)
    )
    if tokens == 0:
        raise UserError("the validation split has no target token; give it examples with answers or captions")
    return right / tokens, loss / tokens
