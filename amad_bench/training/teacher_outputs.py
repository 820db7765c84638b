"""A frozen teacher's outputs on the training examples: read from disk, where all its students share them, or
computed for each batch.
"""

import math
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple
from weakref import finalize

import numpy as np
import torch
from torch import Tensor, nn

from amad_bench.data.batch import Batch
from amad_bench.data.placing import placed
from amad_bench.data.tasks.data import Split, TaskData
from amad_bench.data.tasks.loader import batches
from amad_bench.models.attention.recorder import Layers, Recorder, record
from amad_bench.models.attention.trace import LayerTrace, Recorded, Trace, unread
from amad_bench.plan.catalogue import model_shape
from amad_bench.plan.run import Run
from amad_bench.runtime.filehash import file_sha256
from amad_bench.runtime.files import abandoned
from amad_bench.runtime.locks import exclusive
from amad_bench.runtime.precision import FP32, Precision, forward_pass
from amad_bench.runtime.results import RESULTS
from amad_bench.training.compiling import forward_pass_of
from amad_bench.training.distill import Objective
from amad_bench.training.outputs_writer import EVERY_QUERY, OutputsWriter, tensors_of
from amad_bench.training.run_model import recorded_config, teacher_folder, trained_model
from amad_bench.training.stored_outputs import StoredPart, read_part, set_damaged_aside, written_part

TeacherTrace = Callable[[np.ndarray, Batch], Trace]  # of a batch's rows and the batch

_QUERIES = {"scores", "queries", "keys"}
# What parts of a kind hold, whichever of it a loss reads: losses share them.
_HOLDS = {
    "tokens": (),
    "queries": ("queries", "keys"),
    "maps": ("probs",),
    "values": ("values", "output_weight"),
}


def teacher_trace(
    run: Run,
    data: TaskData,
    objective: Objective,
    device: torch.device,
    chunk: int | None = None,
    compiled: bool = False,
) -> TeacherTrace:
    """A function that gives the teacher's trace of training examples, as far as `objective` reads it.

    data: those of the training; chunk: examples that fit at once, None: a batch. compiled: a teacher that
    runs for each batch, see `compiling`. Outputs that are stored nowhere yet are computed first, never by a
    compiled teacher, since students of either kind share them; another process that wants them waits.
    RunFailed("teacher_failed") when the teacher did not end well, UserError when it was not trained.
    """
    folder, config = teacher_folder(run), run.config
    of_teacher = recorded_config(folder)
    shapes = [model_shape(c.family, c.task, c.model, sites=objective.sites) for c in (config, of_teacher)]
    objective.choose_layers(*shapes)

    def model() -> nn.Module:
        loaded = trained_model(of_teacher, data, folder.checkpoint).to(device)
        return loaded.eval().requires_grad_(False)

    if (key := config.outputs_key) is None or not storable(data.train):
        return OnlineOutputs(model(), objective, config.precision, compiled).trace
    if not folder.checkpoint.is_file():
        model()  # which says what to do
    weights = file_sha256(folder.checkpoint)
    of = {"teacher": folder.id, "weights": weights, "data": run.data_key, "examples": len(data.train)}
    wanted = Wanted.of(objective, shapes[1].layers)
    parts = stored_parts(
        RESULTS.outputs(key),
        of,
        wanted,
        model,
        data,
        device,
        chunk or config.training.batch,
        config.precision,
    )
    return StoredOutputs(parts, wanted, device).trace


def storable(split: Split) -> bool:
    """Whether outputs on examples can be stored: all batches have one length, no answer is drawn anew."""
    answers = split.answers
    one_target_each = answers is None or bool((np.diff(answers.offsets_N1) <= 1).all())
    return one_target_each and not split.mostly_padding


class OnlineOutputs:
    """Outputs that a teacher computes for each batch."""

    def __init__(
        self,
        model: nn.Module,
        objective: Objective,
        precision: Precision = FP32,
        compiled: bool = False,
    ) -> None:
        self.model = model.eval()
        self.precision: Precision = precision
        self._run = forward_pass_of(model, compiled)
        # Open as long as this object is there: finding all modules anew for each batch takes 10 to 20 ms.
        wanted = objective.sites, objective.teacher_layers, objective.needs_hidden, objective.reads
        self._recorder = Recorder(model, *wanted)
        finalize(self, self._recorder.close)

    @torch.no_grad()
    def trace(self, _rows: np.ndarray, batch: Batch) -> Trace:
        try:
            with forward_pass(self.precision, batch.labels_BL.device):
                output = self._run(**batch.inputs, labels=batch.labels_BL)
        except BaseException:  # see TrainStep
            self._recorder.forget()
            raise
        return self._recorder.trace(output, batch.labels_BL)


class Wanted(NamedTuple):
    """Parts of a teacher's trace that are read.

    depths: its numbers of layers, by site; layers: those that are read; kinds: of each of them; hidden: their
    outputs, too.
    """

    depths: Mapping[str, int]
    layers: Layers
    kinds: list[str]
    hidden: bool

    @classmethod
    def of(cls, objective: Objective, depths: Mapping[str, int]) -> "Wanted":
        layers = objective.teacher_layers or {site: range(depth) for site, depth in depths.items()}
        kinds = ["tokens"]
        kinds += ["queries"] if objective.reads & _QUERIES else []
        kinds += ["maps"] if "probs" in objective.reads and "queries" not in kinds else []
        kinds += ["values"] if "values" in objective.reads else []
        return cls(depths, layers, kinds, objective.needs_hidden)

    @property
    def parts(self) -> list[str]:
        """Names of the parts that hold it."""
        at = [(site, layer) for site, layers in self.layers.items() for layer in layers]
        named = [_name(site, layer, kind) for site, layer in at for kind in self.kinds]
        named += [_name(_stack(site), layer, "hidden") for site, layer in at if self.hidden]
        return ["logits", *dict.fromkeys(named)]

    @property
    def reads(self) -> list[str]:
        """What a recorder has to keep for these parts, by the catalogue's words."""
        return [word for kind in self.kinds for word in _HOLDS[kind]]


class StoredOutputs:
    """Outputs that are read from stored parts."""

    def __init__(self, parts: Mapping[str, StoredPart], wanted: Wanted, device: torch.device) -> None:
        self.parts, self.wanted, self.device = parts, wanted, device
        self._shared = {
            part: {name: torch.from_numpy(array.copy()).to(device) for name, array in stored.shared.items()}
            for part, stored in parts.items()
        }

    def trace(self, rows: np.ndarray, batch: Batch) -> Trace:
        """`rows` (B,) of the training split, whose `batch` has the labels."""
        logits_BLV = self._tensor("logits", "logits", rows)
        assert logits_BLV is not None
        sites: dict[str, Recorded[LayerTrace]] = {}
        hidden: dict[str, Recorded[Tensor]] = {}
        for site, layers in self.wanted.layers.items():
            depth, stack = self.wanted.depths[site], _stack(site)
            sites[site] = Recorded({layer: self._layer(site, layer, rows) for layer in layers}, depth)
            states = {layer: self._tensor(_name(stack, layer, "hidden"), "hidden", rows) for layer in layers}
            if found := {layer: state_BLd for layer, state_BLd in states.items() if state_BLd is not None}:
                hidden[stack] = Recorded(found, depth)
        return Trace(logits_BLV, batch.labels_BL, sites, hidden)

    def _layer(self, site: str, layer: int, rows: np.ndarray) -> LayerTrace:
        tokens, values = (_name(site, layer, kind) for kind in ("tokens", "values"))
        maps = _name(site, layer, "queries" if "queries" in self.wanted.kinds else "maps")
        query_mask_BQ = self._tensor(tokens, "query_mask", rows)
        assert query_mask_BQ is not None
        named = {name: self._tensor(maps, name, rows) for name in ("query", "key", "bias", "mask", "probs")}
        value_BHKD = self._tensor(values, "value", rows)
        return LayerTrace(
            unread() if named["query"] is None else named["query"],
            unread() if named["key"] is None else named["key"],
            unread() if value_BHKD is None else value_BHKD,
            self.parts[maps].numbers.get("scale", math.nan) if maps in self.parts else math.nan,
            named["bias"],
            named["mask"],
            query_mask_BQ,
            self._tensor(values, "output_weight", rows),
            named["probs"],
            every_query=bool(self.parts[tokens].numbers.get(EVERY_QUERY, False)),
        )

    def _tensor(self, part: str, name: str, rows: np.ndarray) -> Tensor | None:
        """The rows of an array, or what all examples share; None where it is not stored."""
        if part not in self.parts:
            return None
        if name in self._shared[part]:
            return self._shared[part][name]
        array = self.parts[part].each.get(name)
        return None if array is None else placed(torch.from_numpy(array[rows]), self.device)


def stored_parts(
    folder: Path,
    of: Mapping[str, Any],
    wanted: Wanted,
    model: Callable[[], nn.Module],
    data: TaskData,
    device: torch.device,
    chunk: int,
    precision: Precision = FP32,
) -> dict[str, StoredPart]:
    """The wanted parts in a folder; those that are lacking are computed, by one process at a time.

    chunk: examples that are computed together, at most: as in training, which is known to fit.
    """

    def present() -> dict[str, StoredPart]:
        found = {name: read_part(folder / name, of) for name in wanted.parts}
        return {name: part for name, part in found.items() if part is not None}

    if folder.is_dir() and len(parts := present()) == len(wanted.parts):
        return parts
    folder.mkdir(parents=True, exist_ok=True)
    with exclusive(folder):
        for left in abandoned(folder):  # by one that was killed: nobody else is at work here
            shutil.rmtree(left)
        for name in wanted.parts:
            set_damaged_aside(folder / name, of)
        lacking = [name for name in wanted.parts if name not in (parts := present())]
        if lacking:
            _compute(folder, of, lacking, wanted, model().eval(), data, device, chunk, precision)
            parts = present()
    return parts


@torch.no_grad()
def _compute(
    folder: Path,
    of: Mapping[str, Any],
    parts: list[str],
    wanted: Wanted,
    model: nn.Module,
    data: TaskData,
    device: torch.device,
    chunk: int,
    precision: Precision,
) -> None:
    split = data.train
    # Chunks of nearly equal size: none has one example only, whose tensors look like those all share.
    count = max(1, min(math.ceil(len(split) / chunk), len(split) // 2))
    chunks = np.array_split(np.arange(len(split)), count)
    # With one target each, whatever is drawn is that one.
    loader = batches(split, data.images, chunks, device, answer_generator=np.random.default_rng(0))
    with ExitStack() as stack:
        recorder = stack.enter_context(
            record(model, list(wanted.layers), wanted.layers, wanted.hidden, wanted.reads)
        )
        writers = {
            part: OutputsWriter(stack.enter_context(written_part(folder / part, len(split))))
            for part in parts
        }
        stack.enter_context(closing(loader))
        for _, batch in loader:
            with forward_pass(precision, device):
                output = model(**batch.inputs, labels=batch.labels_BL)
            trace = recorder.trace(output, batch.labels_BL)
            for part, writer in writers.items():
                writer.add(*tensors_of(trace, part))
        for writer in writers.values():
            writer.finish(of)


def _name(place: str, layer: int, kind: str) -> str:
    return f"{place}-{layer}-{kind}"


def _stack(site: str) -> str:
    return site.partition(".")[0]
