"""Teacher-forced validation during training: cheap, and the same for every task."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from amad_bench.data.images.table import ImageTable
from amad_bench.data.tasks.batches import evaluation_order
from amad_bench.data.tasks.data import Split
from amad_bench.data.tasks.loader import batches
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.precision import FP32, Precision, forward_pass
from amad_bench.scoring.decode import evaluating


def token_accuracy_and_loss(
    model: nn.Module,
    split: Split,
    images: ImageTable,
    device: str | torch.device,
    batch: int,
    workers: int = 0,
    precision: Precision = FP32,
) -> tuple[float, float]:
    """Share of right target tokens and mean cross-entropy (nats), over all tokens whose label is not -100.

    The logits (B, L, V) stand at their labels' (B, L) places. The model's mode is restored. `batch`: that of
    the training, which needs more memory. UserError when there is no token.
    """
    right, loss, tokens = 0, 0.0, 0
    with evaluating(model), torch.no_grad():
        for _, examples in batches(split, images, evaluation_order(split, batch), device, workers):
            with forward_pass(precision, device):
                logits_BLV = model(**examples.inputs, labels=examples.labels_BL).logits
            target_BL = examples.target_BL
            logits_NV, labels_N = logits_BLV[target_BL], examples.labels_BL[target_BL]
            right += int((logits_NV.argmax(-1) == labels_N).sum())
            loss += float(cross_entropy(logits_NV.float(), labels_N, reduction="sum"))
            tokens += examples.target_tokens
    if tokens == 0:
        raise UserError("the validation split has no target token; give it examples with answers or captions")
    return right / tokens, loss / tokens
