"""The formulas of docs/methods.md as printed, in loops over samples, heads, rows; without the package.

Every function reads valid entries only, so that autograd gives masked entries a gradient of exactly 0.
`valid_BQK`: bool, the entries that count.
"""

from itertools import permutations

import torch

FLOOR = 1e-12


def floored(x):
    return x if x.item() > FLOOR else torch.full_like(x, FLOOR)


def flat(map_QK, valid_QK):
    """The valid entries of one map, as a vector."""
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
    """Mean of of_sample(t, s, valid) over the samples that have a valid entry; 0 when none has."""
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
        elif variant == "projected":
            mixture_QK = sum(weight * s for weight, s in zip(weights[h], s_GQK, strict=True))
            rows = [row / floored(row.sum()) for row in mixture_QK]
            distances.append(row_kl(teacher_QK, torch.stack(rows), valid_QK, row_reduction))
        else:
            mixture_QK = sum(
                weight * torch.where(valid_QK, s, 0.0) for weight, s in zip(weights[h], s_GQK, strict=True)
            )
            distances.append(row_kl(teacher_QK, mixture_QK, valid_QK, row_reduction))
    return distances


def projected_map(map_QK, valid_QK, weight_nn, bias_n):
    """ReLU(W s + b) of the flattened map, in which masked entries are 0; one entry at a time."""
    entries = valid_QK.nonzero().tolist()
    flat_n = {q * map_QK.shape[1] + k: map_QK[q, k] for q, k in entries}
    projected = [[torch.zeros((), dtype=map_QK.dtype) for _ in row] for row in map_QK]
    for q, k in entries:
        i = q * map_QK.shape[1] + k
        value = bias_n[i] + sum(weight_nn[i, j] * s for j, s in flat_n.items())
        projected[q][k] = value if value.item() > 0 else 0 * value
    return torch.stack([torch.stack(row) for row in projected])


def token_distances(t_HQK, s_GQK, valid_QK, similarity, temperature, detach_alignment, row_reduction):
    """Per teacher head: every valid row as a map of one query, with an alignment of its own."""
    distances = []
    for teacher_QK in t_HQK:
        total, rows = 0.0, 0
        for q in valid_QK.any(-1).nonzero().flatten().tolist():
            row, students, valid = teacher_QK[q : q + 1], s_GQK[:, q : q + 1], valid_QK[q : q + 1]
            (weights,) = alignment([row], students, valid, similarity, temperature)
            if detach_alignment:
                weights = [w.detach() for w in weights]
            (distance,) = mixture_distances([row], students, valid, [weights], "kl")
            total, rows = total + distance, rows + 1
        distances.append(total / rows if row_reduction == "mean" else total)
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
    projection=None,
):
    def of_sample(t, s, valid):
        if variant == "token":
            distances = token_distances(t, s, valid, similarity, temperature, detach_alignment, row_reduction)
            return over_heads(distances, head_reduction)
        if variant == "projected":
            s = [projected_map(student_QK, valid, *projection) for student_QK in s]
        weights = alignment(t, s, valid, similarity, temperature)
        if detach_alignment:
            weights = [[w.detach() for w in row] for row in weights]
        return over_heads(mixture_distances(t, s, valid, weights, variant, row_reduction), head_reduction)

    return over_batch(teacher, student, valid_BQK, of_sample)


def student_mean(teacher, student, valid_BQK, *, distance="kl", head_reduction="sum"):
    def of_sample(t, s, valid):
        weights = [[1 / len(s)] * len(s) for _ in t]
        return over_heads(mixture_distances(t, s, valid, weights, distance), head_reduction)

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


def pair_distance(t_QK, s_QK, valid_QK, distance):
    return unit_distance(t_QK, [s_QK], [1.0], valid_QK) if distance == "mse" else row_kl(t_QK, s_QK, valid_QK)


def head_mean(teacher, student, valid_BQK, *, distance="kl"):
    def of_sample(t, s, valid):
        return pair_distance(sum(t) / len(t), sum(s) / len(s), valid, distance)

    return over_batch(teacher, student, valid_BQK, of_sample)


def random_alignment(teacher, student, valid_BQK, weights_HG, *, distance="kl", head_reduction="sum"):
    def of_sample(t, s, valid):
        return over_heads(mixture_distances(t, s, valid, weights_HG.tolist(), distance), head_reduction)

    return over_batch(teacher, student, valid_BQK, of_sample)


def hungarian(teacher, student, valid_BQK, *, distance="kl", head_reduction="sum"):
    """Every one-to-one assignment is tried."""

    def of_sample(t, s, valid):
        cost = [[pair_distance(t_QK, s_QK, valid, distance) for s_QK in s] for t_QK in t]
        best = best_assignment([[c.item() for c in row] for row in cost])
        return over_heads([cost[h][g] for h, g in enumerate(best)], head_reduction)

    return over_batch(teacher, student, valid_BQK, of_sample)


def best_assignment(cost):
    """A student head for each teacher head: one to one at the least total, the rest to their nearest."""
    heads, students = range(len(cost)), range(len(cost[0]))
    if len(heads) <= len(students):
        candidates = [dict(zip(heads, chosen, strict=True)) for chosen in permutations(students, len(heads))]
    else:
        candidates = [
            dict(zip(chosen, students, strict=True)) for chosen in permutations(heads, len(students))
        ]
    best = min(candidates, key=lambda pairs: sum(cost[h][g] for h, g in pairs.items()))
    return [best.get(h, min(students, key=lambda g: cost[h][g])) for h in heads]


def transport(cost_HG, epsilon=0.05, iterations=100):
    """Sinkhorn as first published, by scaling the kernel's columns and rows; then Altschuler's rounding."""
    heads, students = cost_HG.shape
    kernel_HG = torch.exp(-cost_HG / epsilon)
    u_H, v_G = torch.ones_like(cost_HG[:, 0]), torch.ones_like(cost_HG[0])
    for _ in range(iterations):
        v_G = (1 / students) / torch.stack([(kernel_HG[:, g] * u_H).sum() for g in range(students)])
        u_H = (1 / heads) / torch.stack([(kernel_HG[h] * v_G).sum() for h in range(heads)])
    plan_HG = torch.stack([u_H[h] * kernel_HG[h] * v_G for h in range(heads)])
    plan_HG = torch.stack([row * min(1.0, (1 / heads) / row.sum()) for row in plan_HG])
    plan_HG = torch.stack([column * min(1.0, (1 / students) / column.sum()) for column in plan_HG.T]).T
    missing_H, missing_G = 1 / heads - plan_HG.sum(1), 1 / students - plan_HG.sum(0)
    total = missing_H.sum()
    if total.item() < 1e-14:  # converged: what is missing is rounding error
        return plan_HG
    return plan_HG + missing_H[:, None] * missing_G[None, :] / total


def sinkhorn(
    teacher, student, valid_BQK, *, distance="kl", epsilon=0.05, detach_alignment=False, head_reduction="sum"
):
    def of_sample(t, s, valid):
        rows = []
        for t_QK in t:
            t_n = flat(t_QK, valid)
            row = []
            for s_QK in s:
                s_n = flat(s_QK, valid)
                row.append(1 - (t_n * s_n).sum() / (norm(t_n, 2) * norm(s_n, 2)))
            rows.append(torch.stack(row))
        weights_HG = len(t) * transport(torch.stack(rows), epsilon)
        if detach_alignment:
            weights_HG = weights_HG.detach()
        return over_heads(mixture_distances(t, s, valid, weights_HG, distance), head_reduction)

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
