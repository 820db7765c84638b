"""The formulas of METHODS.md as printed, in loops over samples, heads and rows: oracles without the package.

Every function reads valid cells only, so that autograd gives masked cells a gradient of exactly 0.
`valid_BQK`: bool, the cells that count.
"""

import torch

FLOOR = 1e-12


def floored(x):
    return x if x.item() > FLOOR else torch.full_like(x, FLOOR)


def flat(map_QK, valid_QK):
    """The valid cells of one map, as a vector."""
    return torch.stack([map_QK[q, k] for q, k in valid_QK.nonzero().tolist()])


def norm(vector, order):
    if order == 1:
        return floored(sum(abs(x) for x in vector))
    return floored(sum(x * x for x in vector) ** 0.5)


def alignment(teacher_HQK, student_GQK, valid_QK, similarity="cosine", temperature=1.0):
    """a_hg as nested lists: softmax over student heads of the similarity of flattened maps."""
    order = {"cosine": 2, "l1": 1}[similarity]
    rows = []
    for teacher_QK in teacher_HQK:
        t = flat(teacher_QK, valid_QK)
        exponentials = []
        for student_QK in student_GQK:
            s = flat(student_QK, valid_QK)
            similarity_hg = (t * s).sum() / (norm(t, order) * norm(s, order))
            exponentials.append(torch.exp(similarity_hg / temperature))
        rows.append([e / sum(exponentials) for e in exponentials])
    return rows


def row_kl(teacher_QK, student_QK, valid_QK, row_reduction="mean"):
    """sum_k t log(t / s) of each valid row, 0 log 0 = 0, then mean or sum over valid rows."""
    total, rows = 0.0, 0
    for q in range(valid_QK.shape[0]):
        keys = valid_QK[q].nonzero().flatten().tolist()
        if not keys:
            continue
        rows += 1
        for k in keys:
            t = teacher_QK[q, k]
            if t.item() > 0:
                total = total + t * (torch.log(t) - torch.log(floored(student_QK[q, k])))
    return total / rows if row_reduction == "mean" else total


def unit_distance(teacher_QK, students, weights, valid_QK):
    """| t/|t| - sum_g a_g s_g/|s_g| |^2, in its direct form."""
    t = flat(teacher_QK, valid_QK)
    difference = t / norm(t, 2)
    for student_QK, weight in zip(students, weights, strict=True):
        s = flat(student_QK, valid_QK)
        difference = difference - weight * s / norm(s, 2)
    return (difference * difference).sum()


def over_batch(teacher, student, valid_BQK, of_sample):
    """Mean of of_sample(t, s, valid) over the samples that have a valid cell; 0 when none has."""
    losses = [
        of_sample(teacher[b], student[b], valid_BQK[b])
        for b in range(len(valid_BQK))
        if valid_BQK[b].any().item()
    ]
    return sum(losses) / len(losses) if losses else (teacher * 0).nansum() + (student * 0).nansum()


def mixture_distances(t_HQK, s_GQK, valid_QK, weights, variant, row_reduction="mean"):
    distances = []
    for h, teacher_QK in enumerate(t_HQK):
        if variant == "mse":
            distances.append(unit_distance(teacher_QK, s_GQK, weights[h], valid_QK))
        else:
            mixture_QK = sum(
                weight * torch.where(valid_QK, s, 0.0) for weight, s in zip(weights[h], s_GQK, strict=True)
            )
            distances.append(row_kl(teacher_QK, mixture_QK, valid_QK, row_reduction))
    return distances


def over_heads(distances, head_reduction):
    return sum(distances) / (len(distances) if head_reduction == "mean" else 1)


def amad(
    teacher,
    student,
    valid_BQK,
    *,
    variant="kl",
    similarity="cosine",
    temperature=1.0,
    detach_alignment=False,
    head_reduction="sum",
    row_reduction="mean",
):
    def of_sample(t, s, valid):
        weights = alignment(t, s, valid, similarity, temperature)
        if detach_alignment:
            weights = [[w.detach() for w in row] for row in weights]
        return over_heads(mixture_distances(t, s, valid, weights, variant, row_reduction), head_reduction)

    return over_batch(teacher, student, valid_BQK, of_sample)


def student_mean(teacher, student, valid_BQK, *, variant="kl", head_reduction="sum"):
    def of_sample(t, s, valid):
        weights = [[1 / len(s)] * len(s) for _ in t]
        return over_heads(mixture_distances(t, s, valid, weights, variant), head_reduction)

    return over_batch(teacher, student, valid_BQK, of_sample)


def one_to_one(teacher, student, valid_BQK, *, drop="refuse", distance="kl", head_reduction="sum"):
    def of_sample(t, s, valid):
        distances = []
        for h in range(min(len(t), len(s))):
            if distance == "mse":
                distances.append(unit_distance(t[h], [s[h]], [1.0], valid))
            else:
                distances.append(row_kl(t[h], s[h], valid))
        return over_heads(distances, head_reduction)

    return over_batch(teacher, student, valid_BQK, of_sample)


def probabilities(logits_V, temperature=1.0):
    exponentials = [torch.exp(z / temperature) for z in logits_V]
    return [e / sum(exponentials) for e in exponentials]


def valid_tokens(labels_BL):
    return (labels_BL != -100).nonzero().tolist()


def ce(logits_BLV, labels_BL):
    tokens = valid_tokens(labels_BL)
    return sum(-torch.log(probabilities(logits_BLV[b, i])[labels_BL[b, i]]) for b, i in tokens) / len(tokens)


def logit_kd(teacher_BLV, student_BLV, labels_BL, *, temperature=2.0):
    tokens = valid_tokens(labels_BL)
    total = 0.0
    for b, i in tokens:
        p = probabilities(teacher_BLV[b, i], temperature)
        q = probabilities(student_BLV[b, i], temperature)
        total = total + sum(p_v * torch.log(p_v / q_v) for p_v, q_v in zip(p, q, strict=True))
    return temperature**2 * total / len(tokens)
