"""MiniLM and MiniLM-v2 as printed, in loops over samples, heads, rows and channels."""

import math

import torch

from tests.losses.naive import floored, row_kl


def relation_row(vectors, i):
    """softmax_j of <x_i, x_j> / sqrt(D), for vectors as lists of scalars."""
    products = [sum(a * b for a, b in zip(vectors[i], x, strict=True)) for x in vectors]
    exponentials = [torch.exp(p / math.sqrt(len(vectors[i]))) for p in products]
    return [e / sum(exponentials) for e in exponentials]


def relations_kl(teacher_heads, student_heads):
    """Mean over heads and rows; each head a list of token vectors."""
    total, rows = 0.0, 0
    for teacher, student in zip(teacher_heads, student_heads, strict=True):
        for i in range(len(teacher)):
            rows += 1
            for t, s in zip(relation_row(teacher, i), relation_row(student, i), strict=True):
                total = total + t * (torch.log(t) - torch.log(floored(s)))
    return total / rows


def heads_of(vectors_HLD, tokens_L):
    """One list of token vectors per head, valid tokens only."""
    return [
        [[head_LD[i, d] for d in range(head_LD.shape[1])] for i in range(len(tokens_L)) if tokens_L[i]]
        for head_LD in vectors_HLD
    ]


def relation_heads_of(vectors_HLD, tokens_L, relation_heads):
    """The same after putting all heads' channels side by side and cutting them into `relation_heads`."""
    heads, _, size = vectors_HLD.shape
    cut = heads * size // relation_heads
    return [
        [
            [vectors_HLD[(r * cut + c) // size, i, (r * cut + c) % size] for c in range(cut)]
            for i in range(len(tokens_L))
            if tokens_L[i]
        ]
        for r in range(relation_heads)
    ]


def minilm(teacher, student, teacher_value, student_value, valid_BQK):
    terms = []
    for b, valid_QK in enumerate(valid_BQK):
        if valid_QK.any():
            heads = [row_kl(t, s, valid_QK) for t, s in zip(teacher[b], student[b], strict=True)]
            keys_K = valid_QK.any(0)
            relation = relations_kl(heads_of(teacher_value[b], keys_K), heads_of(student_value[b], keys_K))
            terms.append(sum(heads) / len(heads) + relation)
    return sum(terms) / len(terms)


def minilm_v2(q_t, k_t, v_t, q_s, k_s, v_s, valid_BQK, *, relation_heads=8):
    total = 0.0
    for teacher, student, dim in ((q_t, q_s, 1), (k_t, k_s, 0), (v_t, v_s, 0)):
        terms = []
        for b, valid_QK in enumerate(valid_BQK):
            if valid_QK.any():
                tokens_L = valid_QK.any(dim)
                terms.append(
                    relations_kl(
                        relation_heads_of(teacher[b], tokens_L, relation_heads),
                        relation_heads_of(student[b], tokens_L, relation_heads),
                    )
                )
        total = total + sum(terms) / len(terms)
    return total
