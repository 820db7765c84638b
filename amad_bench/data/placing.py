"""Tensors of the host go to a device, and nobody waits until they are there."""

import torch
from torch import Tensor


def placed(tensor: Tensor, device: str | torch.device) -> Tensor:
    """The tensor on the device; on CUDA through pinned memory, from which a copy needs no wait.

    Whoever uses it on the stream that is current now finds it complete. torch keeps the pinned memory until
    the copy is done.
    """
    device = torch.device(device)
    if device.type == tensor.device.type:
        return tensor.to(device)
    if device.type == "cuda":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
