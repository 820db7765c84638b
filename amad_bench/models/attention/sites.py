"""Sites of a model's attention: which modules stand where, told by their paths.

The minimal version: known stacks, and the layers of a decoder-only language model.
"""

import re

from torch import nn

from amad_bench.models.attention.capture import captures
from amad_bench.models.attention.kinds import find_stacks

PATTERNS = ((r"(?:.*\.)?layers\.(?P<layer>\d+)\.self_attn", "decoder.self"),)


def find_layers(model: nn.Module) -> dict[str, list[nn.Module]]:
    """By site its attention modules in the order of layers."""
    found = {
        f"{stack}.{name}": [block.attention[name].module for block in blocks]
        for stack, blocks in find_stacks(model).items()
        for name in blocks[0].attention
    }
    known = {module for modules in found.values() for module in modules}
    for name, module in model.named_modules():
        if module in known or not captures(module):
            continue
        for pattern, site in PATTERNS:
            if re.fullmatch(pattern, name):
                found.setdefault(site, []).append(module)
                break
    return found


def find_outputs(model: nn.Module) -> dict[str, list[nn.Module]]:
    """By stack ("encoder", ...) the modules whose outputs are its layers' outputs, in their order."""
    found = {stack: [block.module for block in blocks] for stack, blocks in find_stacks(model).items()}
    names = {module: name for name, module in model.named_modules()}
    for site, modules in find_layers(model).items():
        stack = site.partition(".")[0]
        if stack not in found:
            found[stack] = [model.get_submodule(names[one].rpartition(".")[0]) for one in modules]
    return found
