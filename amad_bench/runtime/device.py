"""The question whether runs will use a GPU, asked by the scheduler before any run starts."""

import sys
from pathlib import Path

DRIVERS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")  # NVIDIA, AMD, WSL


def uses_gpu(device: str) -> bool:
    """device: auto, cpu or cuda. Imports torch (seconds) only where `auto` could find a GPU at all."""
    if device != "auto":
        return device == "cuda"
    if sys.platform == "linux" and not any(Path(driver).exists() for driver in DRIVERS):
        return False
    import torch

    return torch.cuda.is_available()
