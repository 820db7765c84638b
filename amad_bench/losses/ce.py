"""Cross-entropy of the labels: training without distillation, the floor that every distillation must beat.

    L = mean over tokens with label != -100 of -log softmax(z)[label]

With a weight w_b per sample, as in VL-T5's VQA training (Cho et al. 2021, "Unifying Vision-and-Language Tasks
via Text Generation", and its code, j-min/VL-T5), where the label is one of several answers and w_b its score:

    L = mean over samples of w_b * (mean over its tokens with label != -100 of -log softmax(z)[label])

Domain: logits (B, L, V) and integer labels (B, L); in nats.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from amad_bench.losses.base import Outcome, TraceLoss
from amad_bench.losses.maps import full_precision
from amad_bench.losses.whole_batch import over_samples, over_tokens
from amad_bench.models.attention.trace import Trace

IGNORED = -100


def target_tokens(logits_BLV: Tensor, labels_BL: Tensor) -> Tensor:
    """valid_BL, True where a label counts. Raises ValueError unless there is one label per token."""
    if logits_BLV.shape[:-1] != labels_BL.shape:
        raise ValueError(
            f"logits {tuple(logits_BLV.shape)} and labels {tuple(labels_BL.shape)} differ in their tokens"
        )
    return labels_BL != IGNORED


def ce_loss(logits_BLV: Tensor, labels_BL: Tensor, *, sample_weight_B: Tensor | None = None) -> Tensor:
    """A scalar in float64 or float32; 0 when all labels are ignored. Ignored tokens may have any logits.

    With weights, a sample without any label adds 0 to the mean over samples. Raises ValueError unless there
    is one weight per sample.
    """
    valid_BL = target_tokens(logits_BLV, labels_BL)
    logits_BLV, _ = full_precision(logits_BLV, logits_BLV)
    logits_BLV = torch.where(valid_BL[..., None], logits_BLV, 0.0)
    flat_logits, flat_labels = logits_BLV.flatten(0, 1), labels_BL.flatten()
    if sample_weight_B is None:
        total = F.cross_entropy(flat_logits, flat_labels, ignore_index=IGNORED, reduction="sum")
        return total / valid_BL.sum().clamp_min(1)
    if sample_weight_B.shape != labels_BL.shape[:1]:
        raise ValueError(
            f"sample weights {tuple(sample_weight_B.shape)} and labels {tuple(labels_BL.shape)} differ in"
            " their samples"
        )
    token_N = F.cross_entropy(flat_logits, flat_labels, ignore_index=IGNORED, reduction="none")
    sample_B = token_N.view_as(labels_BL).sum(dim=1) / valid_BL.sum(dim=1).clamp_min(1)
    return (sample_B * sample_weight_B.to(sample_B.dtype)).mean()


class CrossEntropy(TraceLoss):
    """`ce_loss` of the student's trace, weighted where that has sample weights; the teacher's is not read."""

    def outcome(self, teacher: Trace | None, student: Trace) -> Outcome:
        weight_B, labels_BL = student.sample_weight_B, student.labels_BL
        mean = ce_loss(student.logits_BLV, labels_BL, sample_weight_B=weight_B)
        if weight_B is None:
            return Outcome({"ce": over_tokens(mean, labels_BL != IGNORED, student)})
        return Outcome({"ce": over_samples(mean, student)})
