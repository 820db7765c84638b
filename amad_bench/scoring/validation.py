"""Teacher-forced validation during training: cheap, and the same for every task."""

from itertools import islice

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from amad_bench.data.images.table import ImageTable
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
    found: list[tuple[int, float, int]] = []  # of each batch
    order = islice(evaluation_order(split, batch), ranks.rank, None, ranks.world)
    with evaluating(model), torch.no_grad():
        for _, examples in batches(split, images, order, device, workers):
            logits_BLV = model(**examples.inputs, labels=examples.labels_BL).logits
            target_BL = examples.target_BL
            logits_NV, labels_N = logits_BLV[target_BL], examples.labels_BL[target_BL]
            right = int((logits_NV.argmax(-1) == labels_N).sum())
            loss = float(cross_entropy(logits_NV.float(), labels_N, reduction="sum"))
            found.append((right, loss, examples.target_tokens))
    all_found = [(0, 0.0, 0), *in_turns(ranks.gathered(found))]
    right, loss, tokens = (sum(numbers) for numbers in zip(*all_found, strict=True))
    if tokens == 0:
        raise UserError("the validation split has no target token; give it examples with answers or captions")
    return right / tokens, loss / tokens
