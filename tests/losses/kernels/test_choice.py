"""What `kernel: auto` is, as docs/engine.md prints the table."""

import pytest
import torch

from amad_bench.losses import build_loss
from amad_bench.losses.kernels import choice
from amad_bench.models.attention.trace import LayerTrace
from tests.losses.kernels.test_by_samples import layer, whole

PRINTED = {"cpu": 4_194_304, "meta": 67_108_864}  # a device without a row: as cuda


def shaped(device, batch, heads, tokens, grad=False):
    query_BHQD = torch.empty(batch, heads, tokens, 1, device=device, requires_grad=grad)
    rows_BQ = torch.ones(batch, tokens, dtype=torch.bool, device=device)
    return LayerTrace(query_BHQD, query_BHQD, query_BHQD, 1.0, None, None, rows_BQ, None)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_auto_is_dense_up_to_the_tables_entries(device):
    """Maps of 12 teacher and 4 student heads, 64 x 64: 65,536 entries a sample."""
    most = PRINTED[device] // 65_536
    for batch, kernel in ((1, "dense"), (most, "dense"), (most + 1, "chunked")):
        teacher, student = shaped(device, batch, 12, 64), shaped(device, batch, 4, 64, grad=True)
        assert choice.chosen(teacher, student) == kernel
        assert choice.samples_at_once(teacher, student) == most


@pytest.mark.parametrize(
    ("tokens", "samples", "kernel"),
    [(56, 66, "dense"), (197, 5, "dense"), (577, 1, "chunked"), (901, 1, "chunked"), (3000, 1, "chunked")],
)
def test_the_measured_shapes(tokens, samples, kernel):
    """Of docs/engine.md: 4 samples, 12 to 8 heads, on a CPU."""
    teacher, student = shaped("cpu", 4, 12, tokens), shaped("cpu", 4, 8, tokens, grad=True)
    assert choice.samples_at_once(teacher, student) == samples
    assert choice.chosen(teacher, student) == kernel


def test_a_teacher_that_needs_a_gradient_is_compared_densely():
    teacher, student = (shaped("cpu", 400, heads, 64, grad=True) for heads in (12, 4))
    assert choice.chosen(teacher, student) == "dense"
    with torch.no_grad():
        assert choice.chosen(teacher, student) == "chunked"


def test_auto_gives_a_projection_its_gradient_however_large_the_maps(monkeypatch):
    """Which is a parameter of the loss, not the student's."""
    found = []
    for entries in (2**22, 1):
        monkeypatch.setitem(choice.ENTRIES_AT_ONCE, "cpu", entries)
        teacher, student = whole(layer(3, 8, seed=1, grad=False)), whole(layer(4, 6, seed=2))
        torch.manual_seed(0)
        loss = build_loss("amad", variant="projected")
        loss(teacher, student)["attention"].backward()
        found.append([parameter.grad for parameter in loss.parameters()])
    assert len(found[0]) == 2
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
        assert one.abs().max() > 0
