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
) -> tuple[float, float]:
    """Share of right target tokens and mean cross-entropy (nats), over all tokens whose label is not -100.

    The logits (B, L, V) stand at their labels' (B, L) places. The model's mode is restored. `batch`: that of
    the training, which needs more memory. `ranks`: take turns at whole batches, so that the numbers are those
    of one process. UserError when there is no token.
    """
    # Of each batch; what is on the device stays there, which nothing here waits for before the end.
    right: list[Tensor] = []
    loss: list[Tensor] = []
    tokens: list[int] = []
    order = islice(evaluation_order(split, batch), ranks.rank, None, ranks.world)
    loader = batches(split, images, order, device, workers)
    with evaluating(model), torch.no_grad(), closing(loader):
        for _, examples in loader:
            logits_BLV = model(**examples.inputs, labels=examples.labels_BL).logits
            targets = torch.from_numpy(np.flatnonzero(examples.host_masks.target_BT))
            targets_N = placed(targets, device)  # a mask would have to be looked at
            logits_NV, labels_N = logits_BLV.flatten(0, 1)[targets_N], examples.labels_BL.flatten()[targets_N]
            right.append((logits_NV.argmax(-1) == labels_N).sum())
            loss.append(cross_entropy(logits_NV.float(), labels_N, reduction="sum"))
            tokens.append(examples.target_tokens)
    numbers = [torch.stack(each).tolist() for each in (right, loss) if each]
    own = [*zip(*numbers, tokens, strict=True)]
    found = [(0, 0.0, 0), *in_turns(ranks.gathered(own))]
    all_right, all_loss, all_tokens = (sum(each) for each in zip(*found, strict=True))
    if all_tokens == 0:
        raise UserError("the validation split has no target token; give it examples with answers or captions")
    return all_right / all_tokens, all_loss / all_tokens
