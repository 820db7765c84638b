"""Costs of running a model: floating-point operations of its matrix products."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

EXAMPLES = 2  # that are run: a contrastive loss needs another image


def flops_per_example(model: nn.Module, arguments: Mapping[str, Tensor]) -> int:
    """Operations of one forward pass of one example, padded as in a batch: 2 for each multiply-add.

    arguments: all of the forward pass, labels too, by name. Matrix products, convolutions and attention
    count, masked entries too; norms, activations, softmax and look-ups do not. Training mode and random
    state stay as they are.
    """
    few = {name: tensor[:EXAMPLES] for name, tensor in arguments.items()}
    examples = len(next(iter(few.values())))
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        # torch counts nothing for CPU's own attention kernel (2.13), and products for what it computes itself
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
            model(**few)
    finally:
        for module, mode in training.items():
            module.training = mode
    return counter.get_total_flops() // examples
