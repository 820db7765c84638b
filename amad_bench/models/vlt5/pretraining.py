"""VL-T5's pre-training: one text-to-text loss for all tasks, told apart by the prefix of the source text.

Source: j-min/VL-T5 (a07d779), src/pretrain_model.py, with every task's loss weight 1, as its script has it.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from amad_bench.models.vlt5.model import VLT5
from amad_bench.models.weights import own_tensors
from amad_bench.plan.catalogue.families import VLT5 as RECORD

_VL = RECORD.pretraining["vl"]
PRETRAIN_TASKS = tuple(_VL.parts)  # the order is the index of a task in a batch's `tasks_B`
PREFIXES = _VL.prefixes
MATCHED, MISMATCHED = _VL.verdicts  # what `itm` answers
VISUAL = "encoder.visual_embedding."


class Vlt5Pretrainer(nn.Module):
    """A VLT5 under its pre-training loss; it has no parameters of its own.

    condition "text": no image is seen, so that the visual embedding stays as drawn and is no part of
    `task_weights`: each model that starts from them draws its own.
    """

    on_host = ("tasks_B",)

    def __init__(self, vlt5: VLT5, condition: str = "vl") -> None:
        super().__init__()
        self.vlt5 = vlt5
        self.condition = condition
        if condition == "text":
            for name, parameter in vlt5.named_parameters():
                parameter.requires_grad_(not name.startswith(VISUAL))

    def forward(self, tasks_B: Tensor, labels: Tensor, **inputs: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean over samples of each one's token mean, and that mean by task for the tasks that occur.

        tasks_B: index into PRETRAIN_TASKS, on the host, where a look costs nothing; labels (B, L); inputs:
        what else VLT5 takes. Those by task are without gradient.
        """
        loss_B = sample_losses(self.vlt5(**inputs, labels=labels).logits, labels)
        rows_by_task = {task: (tasks_B == index).nonzero()[:, 0] for index, task in enumerate(PRETRAIN_TASKS)}
        by_task = {
            task: loss_B.detach()[rows_N.to(loss_B.device, non_blocking=True)].mean()
            for task, rows_N in rows_by_task.items()
            if len(rows_N)
        }
        return loss_B.mean(), by_task

    def shares(self, arguments: dict[str, Tensor], part: slice) -> tuple[float, dict[str, float]]:
        """Shares of a part of a batch in its loss and in each of its scalars; arguments: on the host."""
        tasks_B = arguments["tasks_B"]
        counts, whole = (torch.bincount(x, minlength=len(PRETRAIN_TASKS)) for x in (tasks_B[part], tasks_B))
        by_task = (counts / whole.clamp_min(1)).tolist()
        return len(tasks_B[part]) / len(tasks_B), dict(zip(PRETRAIN_TASKS, by_task, strict=True))

    def task_weights(self) -> dict[str, Tensor]:
        """The VLT5's weights under the names of its own state dict, tied ones once."""
        tensors = own_tensors(self.vlt5)
        if self.condition == "text":
            return {name: tensor for name, tensor in tensors.items() if not name.startswith(VISUAL)}
        return tensors


def sample_losses(logits_BLV: Tensor, labels_BL: Tensor) -> Tensor:
    """(B,): mean cross-entropy over a sample's labels that are not -100; 0 for a sample without one."""
    # flat: cross-entropy of three axes has no deterministic kernel on CUDA
    loss_N = cross_entropy(logits_BLV.flatten(0, 1).float(), labels_BL.flatten(), reduction="none")
    return loss_N.view_as(labels_BL).sum(dim=1) / labels_BL.ne(-100).sum(dim=1).clamp(min=1)
