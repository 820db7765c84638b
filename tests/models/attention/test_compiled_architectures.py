"""Foreign architectures under torch.compile while they are recorded: one graph, and equal gradients."""

import shutil

import pytest
import torch

from amad_bench.models.attention.recorder import record
from tests.models.attention.architectures import ARCHITECTURES, BATCHES, make
from tests.models.attention.test_architectures import assert_equal_gradients


def some_loss(trace):
    """Of all maps, so that every query and key of the model has a gradient."""
    squares = [layer.probs_BHQK().square().sum() for layers in trace.sites.values() for layer in layers]
    return torch.stack(squares).sum()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile calls g++")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler about itself
@pytest.mark.parametrize("name", ["Llama", "BERT", "CLIP"])
def test_a_recorded_step_is_one_graph_with_the_gradients_of_a_plain_one(name):
    batch = BATCHES[ARCHITECTURES[name].batches[0]]
    models = make(name), make(name)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    for model in models:
        with record(model) as recorder:

            def step(model=model, recorder=recorder, **batch):
                return some_loss(recorder.trace(model(**batch)))

            run = step if model is models[0] else torch.compile(step, fullgraph=True)
            run(**batch).backward()
            if model is models[1]:
                model.zero_grad()
                run(**batch).backward()  # not compiled anew
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    assert_equal_gradients(models[1], models[0])
