"""Logit distillation: the student's next-token distribution is drawn to the teacher's, both softened.

Source: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv:1503.02531.

    L = tau^2 * mean over tokens with label != -100 of KL(softmax(z_T / tau) || softmax(z_S / tau)),  tau = 2

Domain: finite logits (B, L, V) over one vocabulary; in nats.
"""

import torch
from torch import Tensor

from amad_bench.losses.base import Outcome, TraceLoss, given_teacher
from amad_bench.losses.ce import IGNORED, target_tokens
from amad_bench.losses.maps import full_precision
from amad_bench.losses.whole_batch import over_tokens
from amad_bench.models.attention.trace import Trace


def logit_kd_loss(
    teacher_BLV: Tensor, student_BLV: Tensor, labels_BL: Tensor, *, temperature: float = 2.0
) -> Tensor:
    """A scalar in float64 if an input is, else float32; 0 when all labels are ignored.

    Ignored tokens' logits may hold anything. Raises ValueError for different vocabularies or tokens and for a
    temperature that is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"temperature must be above 0, not {temperature}")
    if teacher_BLV.shape[-1] != student_BLV.shape[-1]:
        raise ValueError(
            "logit_kd needs one vocabulary, but the teacher's has "
            f"{teacher_BLV.shape[-1]} entries and the student's {student_BLV.shape[-1]}"
        )
    if teacher_BLV.shape != student_BLV.shape:
        raise ValueError(
            f"teacher logits {tuple(teacher_BLV.shape)} and student logits {tuple(student_BLV.shape)} differ"
        )
    valid_BL = target_tokens(student_BLV, labels_BL)
    teacher_BLV, student_BLV = full_precision(teacher_BLV, student_BLV)
    # Zero logits on both sides are one and the same distribution: an ignored token adds exactly 0.
    teacher_BLV = torch.where(valid_BL[..., None], teacher_BLV, 0.0)
    student_BLV = torch.where(valid_BL[..., None], student_BLV, 0.0)
    log_teacher = torch.log_softmax(teacher_BLV / temperature, dim=-1)
    log_student = torch.log_softmax(student_BLV / temperature, dim=-1)
    total = (log_teacher.exp() * (log_teacher - log_student)).sum()
    return temperature**2 * total / valid_BL.sum().clamp_min(1)


class LogitKD(TraceLoss):
    """`logit_kd_loss` on traces; the labels are the student's."""

    def __init__(self, *, temperature: float = 2.0) -> None:
        super().__init__()
        self.temperature = temperature

    def outcome(self, teacher: Trace | None, student: Trace) -> Outcome:
        teacher = given_teacher(teacher)
        loss = logit_kd_loss(
            teacher.logits_BLV, student.logits_BLV, student.labels_BL, temperature=self.temperature
        )
        return Outcome({"logit_kd": over_tokens(loss, student.labels_BL != IGNORED, student)})
