"""A2D as printed, in loops over samples, maps and entries."""

import torch

from tests.losses.naive import row_kl


def a2d(teacher, student, weight, bias, valid_BQK, *, double_softmax=True, reduction="sum"):
    distances, samples = [], 0
    for b, valid_QK in enumerate(valid_BQK):
        if not valid_QK.any():
            continue
        samples += 1
        for h in range(teacher.shape[1]):
            if double_softmax:
                distances.append(flattened_kl(teacher[b, h], student[b], weight[h], bias[h], valid_QK))
            else:
                exponentials = [torch.exp(w) for w in weight[h]]
                mixture_QK = sum(
                    e / sum(exponentials) * torch.where(valid_QK, s, 0.0)
                    for e, s in zip(exponentials, student[b], strict=True)
                )
                distances.append(row_kl(teacher[b, h], mixture_QK, valid_QK))
    return sum(distances) / (samples * teacher.shape[1] if reduction == "mean" else 1)


def flattened_kl(teacher_QK, student_GQK, weight_G, bias, valid_QK):
    places = valid_QK.nonzero().tolist()
    mixed = [bias + sum(w * s[q, k] for w, s in zip(weight_G, student_GQK, strict=True)) for q, k in places]
    teacher = [torch.exp(teacher_QK[q, k]) for q, k in places]
    student = [torch.exp(x) for x in mixed]
    pairs = [(t / sum(teacher), s / sum(student)) for t, s in zip(teacher, student, strict=True)]
    return sum(t * (torch.log(t) - torch.log(s)) for t, s in pairs)
