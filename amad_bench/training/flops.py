"""Floating point operations of an example as a training on a task has it."""

import numpy as np
import torch
from torch import nn

from amad_bench.data.tasks.batches import text_batch
from amad_bench.data.tasks.data import TaskData
from amad_bench.models.cost import EXAMPLES, flops_per_example


def task_flops(model: nn.Module, data: TaskData, batch: int, device: torch.device) -> int:
    """FLOPs of an example, as long as it is in a batch of the training split; few of its images are read."""
    rows = np.arange(min(batch, len(data.train)))
    images = data.images.batch(data.train.image_rows_N[rows[:EXAMPLES]], device)
    few = text_batch(data.train, rows, device).first(EXAMPLES).with_images(images)
    return flops_per_example(model, {**few.inputs, "labels": few.labels_BL})
