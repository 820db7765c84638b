"""`DistillingMixin`: a Distiller in transformers' Trainer, or in whatever is made of it.

Written against transformers 5.17-5.24, which is imported within a function: who calls it has it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from amad_bench.distil.distiller import Distiller, Parts

_FILE = "distiller.pt"  # in a checkpoint's folder


class DistillingMixin:
    """Stands before a Trainer class: `class DistillingTrainer(DistillingMixin, Trainer): pass`.

    In training the loss is own_loss * the student's own + the distiller's weighted total; in evaluation it is
    the student's own, for which no teacher is run. own_loss 0: the student needs no loss of its own, and no
    labels. The teacher is put on the Trainer's device. Parameters of the losses are trained with the
    student's, by the same optimizer without weight decay, are not clipped, and go with the checkpoints.
    Logs get `distil_<loss>`, the unweighted mean since the last log, of this process. The total is the mean
    over micro-batches and processes of their means.

    ValueError: the Trainer's model is not the distiller's student; torch.nn.DataParallel; a loss whose
    parameters have no sizes yet (`Distiller.materialise`); an optimizer of the caller's that lacks them.
    """

    def __init__(self, *args: Any, distiller: Distiller, own_loss: float = 1.0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        trainer: Any = self
        if trainer.model is not distiller.student:
            raise ValueError("the distiller's student is another model than Trainer's; give both the same")
        if trainer.args.n_gpu > 1:
            raise ValueError(
                "torch.nn.DataParallel copies the student, and copies are not recorded; start the Trainer by "
                "torchrun, or let it see one GPU (CUDA_VISIBLE_DEVICES)"
            )
        self.distiller, self.own_loss = distiller.to(trainer.args.device), own_loss
        self._distil: Callable[..., Parts] = distiller
        self._sums: dict[str, Tensor] = {}
        self._counted = 0
        trainer.add_callback(_forgetting_gradients(distiller))

    def teacher_inputs(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """The teacher's inputs, from a batch. Override it where they are not the student's."""
        return inputs

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Mapping[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """A batch's loss, as Trainer asks for it: the scalar, or with the student's output."""
        trainer: Any = self
        parent: Any = super()
        if not model.training:
            return parent.compute_loss(model, inputs, return_outputs, num_items_in_batch)
        own: list[Tensor] = []

        def student(**inputs: Any) -> Any:
            if not self.own_loss:
                return model(**inputs)
            loss, output = parent.compute_loss(model, inputs, True, num_items_in_batch)
            own.append(loss)
            return output

        epoch = int(trainer.state.epoch or 0) + 1
        parts = self._distil(self.teacher_inputs(inputs), inputs, epoch=epoch, student=student)
        total = parts.total
        # What a model divides by the tokens of all micro-batches Trainer does not divide by their number.
        if trainer.compute_loss_func is not None or (
            trainer.model_accepts_loss_kwargs and num_items_in_batch is not None
        ):
            total = total / trainer.current_gradient_accumulation_steps
        for loss in own:
            total = total + self.own_loss * loss
        for name, part in parts.items():
            self._sums[name] = self._sums.get(name, 0.0) + part.detach()
        self._counted += 1
        return (total, parts.output) if return_outputs else total

    def create_optimizer(self, *args: Any, **kwargs: Any) -> torch.optim.Optimizer:
        """Trainer's, which trains the parameters of the losses, too."""
        trainer: Any = self
        parent: Any = super()
        given = trainer.optimizer is not None
        optimizer = parent.create_optimizer(*args, **kwargs)
        known = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
        learned = list(self.distiller.parameters())
        if learned and trainer.args.world_size > 1:  # the student's wrapper knows nothing of them
            self._distil = DistributedDataParallel(self.distiller)
        if all(id(parameter) in known for parameter in learned):
            return optimizer
        if given:
            raise ValueError(
                "the given optimizer does not train the losses' parameters; make it of "
                "[*student.parameters(), *distiller.parameters()]"
            )
        optimizer.add_param_group({"params": learned, "weight_decay": 0.0})
        return optimizer

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """Trainer's, with the mean parts beside the training's loss."""
        parent: Any = super()
        if "loss" in logs and self._counted:
            logs |= {f"distil_{name}": float(total) / self._counted for name, total in self._sums.items()}
            self._sums, self._counted = {}, 0
        parent.log(logs, *args, **kwargs)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        trainer: Any = self
        parent: Any = super()
        parent._save(output_dir, state_dict)
        if trainer.args.should_save and (state := self.distiller.state_dict()):
            torch.save(state, Path(output_dir or trainer.args.output_dir, _FILE))

    def _load_from_checkpoint(self, resume_from_checkpoint: str, *args: Any, **kwargs: Any) -> None:
        trainer: Any = self
        parent: Any = super()
        parent._load_from_checkpoint(resume_from_checkpoint, *args, **kwargs)
        if (saved := Path(resume_from_checkpoint, _FILE)).is_file():
            self.distiller.load_state_dict(torch.load(saved, map_location="cpu", weights_only=True))
            self.distiller.to(trainer.args.device)  # parameters that only now are there


def _forgetting_gradients(distiller: Distiller) -> Any:
    """A callback, since Trainer sets the gradients of the student alone to zero."""
    from transformers import TrainerCallback

    class ForgettingGradients(TrainerCallback):
        def on_step_begin(self, *_args: Any, **_kwargs: Any) -> None:
            distiller.losses.zero_grad()

    return ForgettingGradients()
