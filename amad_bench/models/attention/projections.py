"""The projection out of an attention module's heads, W_O, where it is sure which one that is."""

from collections.abc import Mapping

from torch import Tensor, nn

INSIDE = ("o", "o_proj", "out_proj", "out_lin", "c_proj", "proj", "projection", "dense")
OUTSIDE = "output.dense"  # of the module around, as BERT's


def output_projection(module: nn.Module, around: Mapping[nn.Module, nn.Module]) -> nn.Module | None:
    """The one child of such a name; None for none or several. around: a module's parent."""
    found = [child for name, child in module.named_children() if name in INSIDE]
    if not found:
        try:
            found = [around[module].get_submodule(OUTSIDE)]
        except (AttributeError, KeyError):
            return None
    return found[0] if len(found) == 1 else None


def output_weight(projection: nn.Module | None, heads: int) -> Tensor | None:
    """(H, D, d); None where there is no linear layer of so many heads."""
    weight_nd = getattr(projection, "weight", None)
    if not isinstance(weight_nd, Tensor):
        return None
    if isinstance(projection, nn.Linear):
        weight_nd = weight_nd.T
    elif type(projection).__name__ != "Conv1D":  # GPT-2's: a linear layer that keeps its weight transposed
        return None
    return weight_nd.unflatten(0, (heads, -1)) if len(weight_nd) % heads == 0 else None
