"""Recording of compiled models: one graph, whatever was compiled first."""

import pytest
import torch
from torch._dynamo.utils import counters

from amad_bench.models.attention.recorder import record
from tests.models.attention.architectures import make
from tests.models.attention.test_capture import batch_of, first, gradients_of, probs_of

slow = pytest.mark.slow


@pytest.fixture(autouse=True)
def one_compiler():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def compiled(function):
    """As one graph, or an error; the graph itself is run as it is, which takes no compiler of C."""
    return torch.compile(function, fullgraph=True, backend="eager")


@pytest.mark.parametrize("name", ["Llama", pytest.param("T5", marks=slow), pytest.param("ViT", marks=slow)])
def test_a_compiled_model_is_recorded_as_one_graph(name):
    """Compiled before the record, which makes one more graph of it; the next record finds it there."""
    model, batch = make(name), batch_of(name)
    with record(model, hidden=True) as recorder:
        plain = recorder.trace(model(**batch))
    run = compiled(model)
    before = first(run(**batch))
    for _ in range(2):
        with record(model, hidden=True) as recorder:
            for _ in range(2):
                output = run(**batch)
                trace = recorder.trace(output)
    assert torch.equal(first(output), before)
    assert torch.equal(first(run(**batch)), before)
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] == 2
    torch.testing.assert_close(probs_of(trace), probs_of(plain), atol=1e-6, rtol=0)
    expected = gradients_of(plain, model)
    torch.testing.assert_close(gradients_of(trace, model), expected, atol=1e-5, rtol=1e-5)
    assert sum(gradient.any() for gradient in expected) > 10


@slow
def test_a_forward_method_compiled_inside_the_record_is_one_graph():
    """As a training step does it: the model itself is left alone for validation."""
    model, batch = make("Llama").train(), batch_of("Llama")
    with record(model, hidden=True) as recorder:
        run = compiled(model.forward)
        for _ in range(3):
            trace = recorder.trace(run(**batch))
        with torch.no_grad():
            model.eval()(**batch)
        recorder.forget()
        again = recorder.trace(run(**batch))
    assert not counters["graph_break"]
    assert counters["stats"]["unique_graphs"] == 2  # in training and in evaluation
    torch.testing.assert_close(probs_of(again), probs_of(trace), atol=0, rtol=0)
    assert sorted(trace.hidden) == ["decoder"]


@slow
@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable`:FutureWarning")
def test_checkpointing_compiled_is_one_graph_where_torch_may_leave_assignments_out_of_the_backward_pass(
    monkeypatch,
):
    batch, plain = batch_of("Llama"), make("Llama").train()
    with record(plain, hidden=True) as recorder:
        expected = gradients_of(recorder.trace(plain(**batch)), plain)
    monkeypatch.setattr(torch._dynamo.config, "skip_fwd_side_effects_in_bwd_under_checkpoint", True)
    model = make("Llama").train()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    run = torch.compile(model, fullgraph=True, backend="aot_eager")
    with record(model, hidden=True) as recorder:
        trace = recorder.trace(run(**batch))
    torch.testing.assert_close(gradients_of(trace, model), expected, atol=1e-6, rtol=1e-5)
    assert not counters["graph_break"]
