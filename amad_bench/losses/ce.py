"""Cross-entropy of the labels: training without distillation, the floor that every distillation must beat.

    L = mean over tokens with label != -100 of -log softmax(z)[label]

Domain: logits (B, L, V) and integer labels (B, L); in nats.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from amad_bench.losses.base import TraceLoss
from amad_bench.losses.maps import full_precision
from amad_bench.models.trace import Trace

IGNORED = -100


def target_tokens(logits_BLV: Tensor, labels_BL: Tensor) -> Tensor:
    """valid_BL, True where a label counts. Raises ValueError unless there is one label per token."""
    if logits_BLV.shape[:-1] != labels_BL.shape:
        raise ValueError(
            f"logits {tuple(logits_BLV.shape)} and labels {tuple(labels_BL.shape)} differ in their tokens"
        )
    return labels_BL != IGNORED


def ce_loss(logits_BLV: Tensor, labels_BL: Tensor) -> Tensor:
    """A scalar in float64 or float32; 0 when all labels are ignored. Ignored tokens may have any logits."""
    valid_BL = target_tokens(logits_BLV, labels_BL)
    logits_BLV, _ = full_precision(logits_BLV, logits_BLV)
    logits_BLV = torch.where(valid_BL[..., None], logits_BLV, 0.0)
    total = F.cross_entropy(
        logits_BLV.flatten(0, 1), labels_BL.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return total / valid_BL.sum().clamp_min(1)


class CrossEntropy(TraceLoss):
    """`ce_loss` of the student's trace; the teacher's is not read."""

    def forward(self, teacher: Trace | None, student: Trace) -> dict[str, Tensor]:
        return {"ce": ce_loss(student.logits_BLV, student.labels_BL)}
