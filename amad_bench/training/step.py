"""What a training step computes of a batch or a part of one: both traces, and the loss of them."""

import numpy as np
from torch import nn

from amad_bench.data.batch import Batch
from amad_bench.models.attention.recorder import Recorder
from amad_bench.models.attention.trace import Totals
from amad_bench.training.distill import Objective, ObjectiveValue
from amad_bench.training.teacher_outputs import TeacherTrace


class TrainStep(nn.Module):
    """A model and its objective as one module: all that is trained, and nothing else, is a parameter of it.

    recorder: of the model. teacher_trace: gets a batch's rows and the batch; None: no teacher.
    """

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        recorder: Recorder,
        teacher_trace: TeacherTrace | None = None,
    ) -> None:
        super().__init__()
        self.model, self.objective = model, objective
        self._recorder, self._teacher_trace = recorder, teacher_trace

    def forward(
        self, rows: np.ndarray, batch: Batch, epoch: int, totals: Totals | None = None
    ) -> ObjectiveValue:
        """The loss of the examples `rows` (B,), which are `batch`.

        totals: of the batch that these are a part of: the value is then this part's summand. None: they are
        the whole batch.
        """
        output = self.model(**batch.inputs, labels=batch.labels_BL)
        student = self._recorder.trace(output, batch.labels_BL)
        student.sample_weight_B, student.totals = batch.sample_weight_B, totals
        teacher = self._teacher_trace(rows, batch) if self._teacher_trace else None
        return self.objective(teacher, student, epoch)
