"""Scales of colours: bytes become the numbers that a model sees."""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from amad_bench.data.placing import placed

# Mean and spread of colours in 0..1, of all channels or of red, green and blue: `half` gives -1..1, `clip` is
# what BLIP's checkpoints were trained with (CLIP's statistics), `imagenet` what many a ViT was (DeiT, DINO).
COLOURS = {
    "half": ((0.5,), (0.5,)),
    "clip": ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def scaled(bytes_B: np.ndarray, there_B: Tensor, device: str | torch.device, colours: str = "half") -> Tensor:
    """Bytes travel to the device, floats are made there; zeros where nothing is there."""
    scale, shift = _scale(colours, torch.device(device))
    return placed(torch.from_numpy(bytes_B), device).float().div_(scale).sub_(shift).mul_(there_B)


@cache
def _scale(colours: str, device: torch.device) -> tuple[Tensor, Tensor]:
    """The numbers that bytes are divided by, and those that are then taken off; on each device once."""
    mean, std = (torch.tensor(values, dtype=torch.float64)[:, None, None] for values in COLOURS[colours])
    return (255 * std).float().to(device), (mean / std).float().to(device)
