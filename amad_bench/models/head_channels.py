"""Heads of a model of another shape: which old heads and channels make up each new one.

Axes: H old heads, G new ones.
"""

import torch
from torch import Tensor


def head_map(old: int, new: int, *, cut: str, inherit_heads: str = "first") -> list[list[int]]:
    """The old heads that make up each new head.

    inherit: one each, the first of them or (spread) floor(g * H / G). remap: those it shares channels with.
    Raises ValueError for another `inherit_heads` than "first" and "spread", and when there are too few heads.
    """
    if cut == "remap":
        shares_HG = shared_channels(old, new)
        return [shares_HG[:, g].nonzero().flatten().tolist() for g in range(new)]
    if new > old or inherit_heads not in ("first", "spread"):
        raise ValueError(f"{inherit_heads!r}: {new} heads cannot be taken from {old}")
    return [[g * old // new if inherit_heads == "spread" else g] for g in range(new)]


def shared_channels(old: int, new: int) -> Tensor:
    """shares_HG: the part of new head g's channels that belongs to old head h; columns sum to 1."""
    # in units of which an old head has `new` and a new head `old`
    old_H1, new_1G = torch.arange(old)[:, None] * new, torch.arange(new)[None] * old
    ends_HG, starts_HG = torch.minimum(old_H1 + new, new_1G + old), torch.maximum(old_H1, new_1G)
    return (ends_HG - starts_HG).clamp(min=0) / old


def head_channels(
    heads: list[list[int]], old_heads: int, old_channels: int, new_channels: int, parts: int
) -> tuple[Tensor, Tensor]:
    """Channels of the model, and the weights' channels that go there."""
    old_size, new_size = old_channels // parts // old_heads, new_channels // parts // len(heads)
    kept = torch.arange(min(old_size, new_size))
    pairs = [
        (
            part * new_channels // parts + g * new_size + kept,
            part * old_channels // parts + h * old_size + kept,
        )
        for part in range(parts)
        for g, (h,) in enumerate(heads)
    ]
    return torch.cat([to for to, _ in pairs]), torch.cat([come for _, come in pairs])
