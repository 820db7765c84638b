"""Teacher-forced validation during training: cheap, and the same for every task."""

from contextlib import closing

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from amad_bench.data.images.table import ImageTable
from amad_bench.data.placing import placed
from amad_bench.data.tasks.batches import evaluation_order
from amad_bench.data.tasks.data import Split
from amad_bench.data.tasks.loader import batches
from amad_bench.runtime.errors import UserError
from amad_bench.scoring.decode import evaluating


def token_accuracy_and_loss(
    model: nn.Module,
    split: Split,
    images: ImageTable,
    device: str | torch.device,
    batch: int,
    workers: int = 0,
) -> tuple[float, float]:
    """Share of right target tokens and mean cross-entropy (nats), over all tokens whose label is not -100.

    The logits (B, L, V) stand at their labels' (B, L) places. The model's mode is restored. `batch`: that of
    the training, which needs more memory. UserError when there is no token.
    """
    # Sums stay on the device, which nothing here waits for before its end.
    right, loss, tokens = torch.tensor(0), torch.tensor(0.0, dtype=torch.float64), 0
    right, loss = right.to(device), loss.to(device)
    loader = batches(split, images, evaluation_order(split, batch), device, workers)
    with evaluating(model), torch.no_grad(), closing(loader):
        for _, examples in loader:
            logits_BLV = model(**examples.inputs, labels=examples.labels_BL).logits
            targets = torch.from_numpy(np.flatnonzero(examples.host_masks.target_BT))
            targets_N = placed(targets, device)  # a mask would have to be looked at
            logits_NV, labels_N = logits_BLV.flatten(0, 1)[targets_N], examples.labels_BL.flatten()[targets_N]
            right += (logits_NV.argmax(-1) == labels_N).sum()
            loss += cross_entropy(logits_NV.float(), labels_N, reduction="sum").double()
            tokens += examples.target_tokens
    if tokens == 0:
        raise UserError("the validation split has no target token; give it examples with answers or captions")
    return int(right) / tokens, float(loss) / tokens
