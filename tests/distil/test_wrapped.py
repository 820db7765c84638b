"""Students that are compiled or wrapped: the same parts and gradients as the bare ones."""

import copy
from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from accelerate import Accelerator
from torch.nn.parallel import DistributedDataParallel

from amad_bench import Distiller
from tests.distil.pairs import batch, llama

LOSSES = {"amad": 1.0, "logit_kd": 1.0, "hidden_mse": 1.0}


@pytest.fixture
def process_group() -> Iterator[None]:
    """A group of this process alone."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def _bare():
    """A pair, its distiller, and the parts and gradients of a batch."""
    teacher, student = llama(4, 2, seed=1), llama(2, 1, seed=2)
    distiller = Distiller(teacher, student, LOSSES, layer_map="uniform")
    parts = distiller(batch())
    parts.total.backward()
    return (
        teacher,
        student,
        distiller,
        parts,
        [p.grad for p in [*student.parameters(), *distiller.parameters()]],
    )


def _agree(parts, parameters, expected, gradients) -> None:
    torch.testing.assert_close(dict(parts), dict(expected))
    torch.testing.assert_close([p.grad for p in parameters], gradients)


@pytest.mark.slow
def test_a_student_compiled_as_one_graph_is_compiled_once():
    teacher, student, _, expected, gradients = _bare()
    compiled = []

    def backend(graph, _inputs):
        compiled.append(graph)
        return graph

    twin = copy.deepcopy(student)
    twin.zero_grad()
    torch._dynamo.reset()
    distiller = Distiller(
        teacher, torch.compile(twin, backend=backend, fullgraph=True), LOSSES, layer_map="uniform"
    )
    distiller.materialise(batch())
    for _ in range(3):
        twin.zero_grad()
        distiller.zero_grad()
        parts = distiller(batch())
        parts.total.backward()
    _agree(parts, [*twin.parameters(), *distiller.parameters()], expected, gradients)
    assert len(compiled) == 1
    assert distiller.student is not twin


@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("given", ["once", "each call"])
def test_a_student_and_losses_within_ddp(given):
    teacher, student, _, expected, gradients = _bare()
    twin = copy.deepcopy(student)
    twin.zero_grad()
    wrapped = DistributedDataParallel(twin)
    called = []
    wrapped.register_forward_hook(lambda *_: called.append(1))
    distiller = Distiller(teacher, wrapped if given == "once" else twin, LOSSES, layer_map="uniform")
    distiller.materialise(batch())
    assert not called
    reducing = DistributedDataParallel(distiller)
    parts = reducing(batch(), student=None if given == "once" else wrapped)
    parts.total.backward()
    assert called == [1]
    _agree(parts, [*twin.parameters(), *distiller.parameters()], expected, gradients)


def test_a_student_that_accelerate_prepared():
    teacher, student, _, expected, gradients = _bare()
    twin = copy.deepcopy(student)
    twin.zero_grad()
    accelerator = Accelerator(cpu=True)
    distiller = Distiller(teacher, twin, LOSSES, layer_map="uniform")
    distiller.materialise(batch())
    optimizer = torch.optim.SGD([*twin.parameters(), *distiller.parameters()])
    prepared, optimizer = accelerator.prepare(twin, optimizer)
    parts = distiller(batch(), student=prepared)
    accelerator.backward(parts.total)
    _agree(parts, [*twin.parameters(), *distiller.parameters()], expected, gradients)


def test_bf16_under_autocast_and_checkpointing():
    """Non-reentrant checkpointing runs layers again in the backward pass."""
    teacher, student, _, expected, gradients = _bare()
    twin = copy.deepcopy(student).train()
    twin.zero_grad()
    enable = getattr(twin, "activation_checkpointing_enable", None) or twin.gradient_checkpointing_enable
    enable({"use_reentrant": False})  # the second is its name before transformers 5.2x
    distiller = Distiller(teacher, twin, LOSSES, layer_map="uniform")
    parts = distiller(batch(), {**batch(), "use_cache": False})
    parts.total.backward()
    _agree(parts, [*twin.parameters(), *distiller.parameters()], expected, gradients)
    with torch.autocast("cpu", torch.bfloat16):
        half = distiller(batch(), {**batch(), "use_cache": False})
    assert {part.dtype for part in half.values()} == {torch.float32}
    torch.testing.assert_close(dict(half), dict(expected), rtol=0.1, atol=0.0)
