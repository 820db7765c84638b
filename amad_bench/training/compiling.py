"""Forward passes that torch.compile makes one graph of."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
from torch import nn

from amad_bench.runtime.errors import UserError

# Of one code, which a student and its teacher share. A ragged training makes two of a model, of the first
# batch's lengths and of any, and a few of texts of 1 token and targets of 1 or 2.
GRAPHS = 64


def forward_pass_of(model: nn.Module, compiled: bool) -> Callable[..., Any]:
    """The model's forward pass as it is, or compiled with its backward pass, as one graph.

    Lengths that stay as they are become constants; the first other one makes a graph of any. The model
    itself is left alone, since validation and decoding have other shapes. UserError for a model that does
    not become one graph, at its first batch.
    """
    if not compiled:
        return model.__call__
    from torch._dynamo import config  # half a second, which other runs do without
    from torch._dynamo.exc import Unsupported

    config.recompile_limit = max(GRAPHS, config.recompile_limit)
    whole = torch.compile(model.forward, fullgraph=True)

    @wraps(model.forward)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return whole(*args, **kwargs)
        except Unsupported as error:
            reason = str(error).strip().partition("\n")[0]
            kind = type(model).__name__
            raise UserError(
                f"compile: true cannot make one graph of {kind} ({reason}); set compile: false"
            ) from error

    return run
