"""Capture inside the attention function: under every mode of training, and without a trace of it."""

import copy
import io
import pickle
import socket

import pytest
import torch
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama import modeling_llama
from transformers.models.t5 import modeling_t5

from amad_bench.models.attention.recorder import record
from amad_bench.models.attention.trace import AttentionDomainError
from tests.models.attention.architectures import BATCHES, make

BATCH = {"Llama": "left", "T5": "pair", "BERT": "right", "ViT": "image"}


def batch_of(name):
    options = {} if name == "ViT" else {"use_cache": False}
    return {**BATCHES[BATCH[name]], **options}


def probs_of(trace):
    return [layer.probs_BHQK() for layers in trace.sites.values() for layer in layers]


def first(output):
    return output.logits if hasattr(output, "logits") else output.last_hidden_state


def gradients_of(trace, model):
    """Of a function of all maps, keys and layer outputs, in the parameters."""
    layers = [layer for layers in trace.sites.values() for layer in layers]
    total = torch.stack([probs.square().sum() + probs[..., 0].sum() for probs in probs_of(trace)]).sum()
    total = total + torch.stack([layer.value_BJKD.square().mean() for layer in layers]).sum()
    total = total + torch.stack([out.square().mean() for outs in trace.hidden.values() for out in outs]).sum()
    parameters = [p for p in model.parameters() if p.requires_grad]
    return torch.autograd.grad(total, parameters, materialize_grads=True)


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("name", BATCH)
def test_the_output_is_the_same_bit_for_bit_while_recorded(name, implementation):
    model, batch = make(name, implementation).train(), batch_of(name)
    outputs, gradients = [], []
    for recorded in (False, True):
        torch.manual_seed(0)
        model.zero_grad()
        if recorded:
            with record(model, hidden=True):
                outputs.append(first(model(**batch)))
        else:
            outputs.append(first(model(**batch)))
        outputs[-1].square().sum().backward()
        gradients.append([p.grad.clone() for p in model.parameters() if p.grad is not None])
    assert torch.equal(*outputs)
    assert all(map(torch.equal, *gradients))


def test_without_gradients_and_under_autocast():
    model, batch = make("Llama"), batch_of("Llama")
    with torch.no_grad(), record(model, hidden=True) as recorder:
        trace = recorder.trace(model(**batch))
    assert not any(probs.requires_grad for probs in probs_of(trace))
    with torch.autocast("cpu", dtype=torch.bfloat16), record(model) as recorder:
        half = recorder.trace(model(**batch))
    layer = half.sites["decoder.self"][0]
    assert layer.value_BJKD.dtype == torch.bfloat16  # rotation makes queries and keys float32 again
    assert layer.probs_BHQK().dtype == torch.float32
    torch.testing.assert_close(probs_of(half), probs_of(trace), atol=2e-2, rtol=0)


def checkpointing(reentrant):
    model = make("Llama").train()
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": reentrant})
    model.enable_input_require_grads()
    return model


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable`:FutureWarning")
def test_what_checkpointing_computes_again_is_not_recorded_again():
    batch, plain = batch_of("Llama"), make("Llama").train()
    with record(plain, hidden=True) as recorder:
        expected = gradients_of(recorder.trace(plain(**batch)), plain)
    model = checkpointing(reentrant=False)
    with record(model, hidden=True) as recorder:
        trace = recorder.trace(model(**batch))
        torch.testing.assert_close(gradients_of(trace, model), expected, atol=1e-6, rtol=1e-5)
        with pytest.raises(AttentionDomainError, match="recorded no attention"):
            recorder.trace(None)  # the backward pass went through all layers once more
        recorder.trace(model(**batch))


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable`:FutureWarning")
def test_reentrant_checkpointing_gives_queries_without_gradient_and_is_refused():
    model = checkpointing(reentrant=True)
    expected = (
        r"site decoder\.self, layer 0: it ran without gradients .* use_reentrant=False \(LlamaAttention\)"
    )
    with record(model) as recorder:
        output = model(**batch_of("Llama"))
        with pytest.raises(AttentionDomainError, match=expected):
            recorder.trace(output)


def test_a_part_that_is_frozen_may_run_without_gradients():
    model, batch = make("Llama").train(), batch_of("Llama")
    layer = model.layers[0].requires_grad_(False)
    layer.forward = torch.no_grad()(layer.forward)
    with record(model) as recorder:
        trace = recorder.trace(model(**batch))
    queries = [one.query_BHQD.requires_grad for one in trace.sites["decoder.self"]]
    assert queries == [False, True]


def test_two_models_at_once_do_not_mix_though_they_share_one_config():
    teacher, other = make("Llama"), make("Llama")
    student = type(teacher)(teacher.config).eval()
    assert student.config is teacher.config
    batch = batch_of("Llama")
    alone = []
    for model in (teacher, student):
        with record(model) as recorder:
            alone.append(recorder.trace(model(**batch)))
    with record(teacher) as first_one, record(student) as second:
        outputs = teacher(**batch), student(**batch)
        other(**batch)
        traces = first_one.trace(outputs[0]), second.trace(outputs[1])
    assert not torch.equal(probs_of(traces[0])[0], probs_of(traces[1])[0])
    for trace, expected in zip(traces, alone, strict=True):
        assert all(map(torch.equal, probs_of(trace), probs_of(expected)))


def test_records_of_two_models_may_end_in_any_order():
    one, two, batch = make("Llama"), make("Llama"), batch_of("Llama")
    first_one, second = record(one), record(two)
    first_one.__enter__()
    recorder = second.__enter__()
    first_one.__exit__(None, None, None)
    recorder.trace(two(**batch))
    second.__exit__(None, None, None)
    assert_no_trace(one, two)


@pytest.mark.parametrize("options", [{}, {"sites": [], "hidden": True}])
def test_a_model_that_is_recorded_already_is_refused_and_stays_recorded(options):
    model, batch = make("Llama"), batch_of("Llama")
    with record(model, hidden=True) as recorder:
        with pytest.raises(ValueError, match="recorded already: close the other record"):
            record(model, **options).__enter__()
        trace = recorder.trace(model(**batch))
    assert len(trace.hidden["decoder"]) == len(trace.sites["decoder.self"]) == 2
    assert_no_trace(model)


def assert_no_trace(*models):
    for model in models:
        for module in model.modules():
            assert not [name for name in vars(module) if name.startswith("_amad")]
            assert not module._forward_hooks
            assert not module._forward_pre_hooks
            home = type(module)
            assert home.__module__.startswith(("transformers.", "torch."))
            assert "watched" not in home.forward.__qualname__
    assert ALL_ATTENTION_FUNCTIONS._local_mapping == {}
    for modeling in (modeling_llama, modeling_t5):
        function = modeling.eager_attention_forward
        assert (function.__module__, function.__name__) == (modeling.__name__, "eager_attention_forward")


@pytest.mark.parametrize("broken", [False, True])
@pytest.mark.parametrize("name", ["Llama", "T5"])
def test_nothing_is_left_afterwards_not_by_a_broken_pass_either(name, broken):
    model, batch = make(name), batch_of(name)
    names = list(model.state_dict())
    before = pickle.dumps(model)
    layer = model.get_submodule("layers.1.mlp" if name == "Llama" else "decoder.block.1")

    def fail(*_args):
        raise KeyError("broken")

    handle = layer.register_forward_pre_hook(fail)
    try:
        with record(model, hidden=True) as recorder:
            assert list(model.state_dict()) == names
            if not broken:
                handle.remove()
            recorder.trace(model(**batch))
    except KeyError:
        assert broken
    handle.remove()
    assert_no_trace(model)
    assert len(pickle.dumps(model)) == len(before)
    assert torch.equal(first(copy.deepcopy(model)(**batch)), first(model(**batch)))
    buffer = io.BytesIO()
    torch.save(model, buffer)


def test_a_copy_made_meanwhile_is_not_recorded():
    model, batch = make("Llama"), batch_of("Llama")
    with record(model, hidden=True) as recorder:
        mine = copy.deepcopy(model)
        assert pickle.loads(pickle.dumps(model.layers[0].self_attn))._amad_slot is None
        mine(**batch)
        output = model(**batch)
        recorder.trace(output)  # which would else have been called twice
        loaded = pickle.loads(pickle.dumps(model))
    for one in (mine, loaded):
        assert type(one.layers[0]) is modeling_llama.LlamaDecoderLayer
        with record(one, hidden=True) as recorder:
            assert len(recorder.trace(one(**batch)).hidden["decoder"]) == 2
    assert torch.equal(first(mine(**batch)), first(output))


def test_another_functions_own_registration_is_put_back(monkeypatch):
    """Somebody's local function, as a modeling file may declare it, is captured and put back."""
    calls = []

    def own(*args, **kwargs):
        calls.append(1)
        return modeling_llama.eager_attention_forward(*args, **kwargs)

    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, "sdpa", own)
    model = make("Llama")
    with record(model) as recorder:
        recorder.trace(model(**BATCHES["whole"]))
    assert calls
    assert ALL_ATTENTION_FUNCTIONS["sdpa"] is own


def _through_ddp(rank, world, port, folder):
    torch.set_num_threads(1)
    address = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=world)
    model, batch = make("Llama").train(), BATCHES["right"]
    parallel = torch.nn.parallel.DistributedDataParallel(model, find_unused_parameters=True)
    rows = slice(rank, rank + 1) if world > 1 else slice(None)
    with record(model) as recorder:
        output = parallel(**{name: value[rows] for name, value in batch.items()}, use_cache=False)
        trace = recorder.trace(output)
    loss = torch.stack([probs[:, :, 0, 0].sum() + probs.square().sum() for probs in probs_of(trace)]).sum()
    (loss + 0 * first(output).sum()).backward()
    if rank == 0:
        gradients = {name: p.grad for name, p in model.named_parameters()}
        torch.save(gradients, folder / f"{world}.pt")
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_through_ddp_gradients_of_maps_are_reduced(tmp_path):
    """Two processes with an example each, whose mean is half of what one process with both has."""
    for world in (1, 2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        torch.multiprocessing.spawn(_through_ddp, (world, port, tmp_path), world)
    one, two = (torch.load(tmp_path / f"{world}.pt") for world in (1, 2))
    assert one["layers.0.self_attn.q_proj.weight"].abs().max() > 1e-3
    for name, gradient in one.items():
        torch.testing.assert_close(2 * two[name], gradient, atol=1e-6, rtol=1e-5)
