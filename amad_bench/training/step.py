"""Computation of a training step, of a batch or a part of one: both traces, and the loss of them."""

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from torch import nn

from amad_bench.data.batch import Batch
from amad_bench.models.attention.recorder import Recorder
from amad_bench.models.attention.trace import Totals
from amad_bench.models.family import implementation_of
from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.run_config import RunConfig
from amad_bench.runtime.precision import FP32, Precision, forward_pass
from amad_bench.training.compiling import forward_pass_of
from amad_bench.training.distill import Objective, ObjectiveValue
from amad_bench.training.teacher_outputs import TeacherTrace


def totals_of(config: RunConfig, sites: Sequence[str], batch: Batch) -> Totals:
    """Numbers of a whole batch, of which `batch` may be a part, from its masks; `sites`: those compared."""
    masks, family = batch.masks, implementation_of(FAMILIES[config.family])
    if masks is None:
        raise ValueError("a batch without masks: nobody knows the whole batch's numbers")
    by_site = {site: int(family.valid_samples(config.task, site, masks).sum()) for site in sites}
    return Totals(int(masks.target_BT.sum()), len(masks.target_BT), by_site)


class TrainStep(nn.Module):
    """A model and its objective as one module: all that is trained, and nothing else, is a parameter of it.

    recorder: of the model. teacher_trace: gets a batch's rows and the batch; None: no teacher. compiled: the
    model's forward and backward passes, see `compiling`.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        recorder: Recorder,
        teacher_trace: TeacherTrace | None = None,
        precision: Precision = FP32,
        compiled: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.objective = model, objective
        self._recorder, self._teacher_trace = recorder, teacher_trace
        self._precision: Precision = precision
        self._run = forward_pass_of(model, compiled)

    def forward(
        self, rows: np.ndarray, batch: Batch, epoch: int, totals: Totals | None = None
    ) -> ObjectiveValue:
        """The loss of the examples `rows` (B,), which are `batch`.

        totals: of the batch that these are a part of: the value is then this part's summand. None: they are
        the whole batch.
        """
        try:
            with forward_pass(self._precision, batch.labels_BL.device):
                output = self._run(**batch.inputs, labels=batch.labels_BL)
        except BaseException:  # memory may have run out, of which the layers so far hold a part
            self._recorder.forget()
            raise
        student = self._recorder.trace(output, batch.labels_BL)
        student.sample_weight_B, student.totals = batch.sample_weight_B, totals
        student.sample_numbers = (epoch << 40) + rows.astype(np.int64)  # however a batch is cut
        teacher = self._teacher_trace(rows, batch) if self._teacher_trace else None
        return self.objective(teacher, student, epoch)


def part_value(
    one_step: Callable[..., ObjectiveValue],
    rows: np.ndarray,
    batch: Batch,
    epoch: int,
    totals: Callable[[], Totals],
) -> Callable[[slice], ObjectiveValue]:
    """A function that gives the value of a part of a batch, which may be a rank's share of the whole one.

    totals: of the whole one; asked for once, where there are parts.
    """
    known = cache(totals)
    examples = len(batch) if batch.masks is None else len(batch.masks.target_BT)

    def value_of(part: slice) -> ObjectiveValue:
        if (part.start, part.stop) == (0, examples):
            return one_step(rows, batch, epoch)
        return one_step(rows[part], batch.part(part), epoch, known())

    return value_of
