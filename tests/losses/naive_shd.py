"""Squeezing heads (docs/methods.md#shd-1) in loops over samples, groups, heads, rows, keys and channels."""

import torch

from tests.losses.naive import over_heads, row_kl


def groups(heads, count):
    """Head numbers in order, in `count` runs whose sizes differ by at most 1, larger ones first."""
    sizes = [heads // count + (1 if i < heads % count else 0) for i in range(count)]
    starts = [sum(sizes[:i]) for i in range(count)]
    return [list(range(start, start + size)) for start, size in zip(starts, sizes, strict=True)]


def in_model_space(value_KD, weight_Dd, keys):
    """X as {key: channels}, valid keys only."""
    return {
        k: [
            sum(value_KD[k, i] * weight_Dd[i, c] for i in range(value_KD.shape[1]))
            for c in range(weight_Dd.shape[1])
        ]
        for k in keys
    }


def product(map_QK, values, valid_QK):
    """Map times values as a flat list over valid rows and channels."""
    width = len(next(iter(values.values())))
    return [
        sum(map_QK[q, k] * values[k][c] for k in valid_QK[q].nonzero().flatten().tolist())
        for q in range(len(valid_QK))
        if valid_QK[q].any()
        for c in range(width)
    ]


def alpha(first_QK, second_QK, x_first, x_both, valid_QK):
    difference_QK = torch.where(valid_QK, first_QK, 0.0) - torch.where(valid_QK, second_QK, 0.0)
    wanted, possible = (product(difference_QK, x, valid_QK) for x in (x_first, x_both))
    squares = sum(p * p for p in possible)
    if squares.item() == 0:
        return torch.tensor(0.5, dtype=first_QK.dtype)
    return (sum(w * p for w, p in zip(wanted, possible, strict=True)) / squares).clamp(0, 1)


def merged(teacher_HQK, values_HKD, weight_HDd, count, valid_QK):
    keys = valid_QK.any(0).nonzero().flatten().tolist()
    maps = []
    for members in groups(len(teacher_HQK), count):
        map_QK = torch.where(valid_QK, teacher_HQK[members[0]], 0.0)
        x = in_model_space(values_HKD[members[0]], weight_HDd[members[0]], keys)
        for h in members[1:]:
            x_h = in_model_space(values_HKD[h], weight_HDd[h], keys)
            both = {k: [a + b for a, b in zip(x[k], x_h[k], strict=True)] for k in keys}
            a = alpha(map_QK, teacher_HQK[h], x, both, valid_QK)
            map_QK = a * map_QK + (1 - a) * torch.where(valid_QK, teacher_HQK[h], 0.0)
            x = both
        maps.append(map_QK)
    return maps


def shd(teacher, student, values, weight, valid_BQK, *, head_reduction="sum"):
    terms = []
    for b, valid_QK in enumerate(valid_BQK):
        if valid_QK.any():
            maps = merged(teacher[b], values[b], weight, student.shape[1], valid_QK)
            distances = [row_kl(m, s, valid_QK) for m, s in zip(maps, student[b], strict=True)]
            terms.append(over_heads(distances, head_reduction))
    return sum(terms) / len(terms)
