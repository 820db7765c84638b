"""What a slot makes of a call: maps against those that torch's SDPA itself computed, and what is refused.

The values of each head are the identity: what the attention function returns is then the map.
"""

from types import SimpleNamespace

import pytest
import torch
from torch import nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS, AttentionInterface
from transformers.models.bert.modeling_bert import eager_attention_forward

from amad_bench.models.attention.recorder import record
from amad_bench.models.attention.trace import AttentionDomainError

KERNEL = "amad_test_kernel"
SMALLEST = torch.finfo(torch.float32).min


class Attention(nn.Module):
    """Heads without projections: gives queries and keys to the interface as transformers' modules do."""

    def __init__(self, implementation="sdpa", **attributes):
        super().__init__()
        self.config = SimpleNamespace(_attn_implementation=implementation)
        self.weight = nn.Parameter(torch.ones(()))
        for name, value in attributes.items():
            setattr(self, name, value)

    def forward(self, query, key, mask=None, **told):
        function = ALL_ATTENTION_FUNCTIONS.get_interface(
            self.config._attn_implementation, eager_attention_forward
        )
        value = torch.eye(key.shape[-2]).expand(*key.shape[:2], -1, -1)
        return function(self, self.weight * query, key, value, mask, **told)[0].transpose(1, 2)


def attending(crosses=False, **attributes):
    """A model with one attention, and its site."""
    block = nn.ModuleDict({"cross_attn" if crosses else "self_attn": Attention(**attributes)})
    stack = nn.ModuleDict({"layers": nn.ModuleList([block])})
    return nn.ModuleDict({"vision": stack}), "vision.cross" if crosses else "vision.self"


def heads(queries, keys, key_heads=2, size=3):
    generator = torch.Generator().manual_seed(queries * keys)
    shapes = (2, 2, queries, size), (2, key_heads, keys, size)
    return [2 * torch.randn(shape, generator=generator) for shape in shapes]


def attended(model, *arguments, **told):
    (module,) = [one for one in model.modules() if isinstance(one, Attention)]
    return module(*arguments, **told)


def recorded(model, site, *arguments, reads=None, **told):
    """The layer's trace and what the attention function returned."""
    with record(model, [site], reads=reads) as recorder:
        returned = attended(model, *arguments, **told)
        return recorder.trace(returned).sites[site][0], returned


@pytest.mark.parametrize("queries", [1, 3])
@pytest.mark.parametrize("given", [None, True, False])
@pytest.mark.parametrize("attribute", [{}, {"is_causal": True}, {"is_causal": False}])
def test_without_a_mask_later_keys_are_masked_where_sdpa_masks_them(attribute, given, queries):
    for keys in {queries, 5}:
        model, site = attending(crosses=keys != queries, **attribute)
        layer, map_BHQK = recorded(model, site, *heads(queries, keys), is_causal=given)
        torch.testing.assert_close(layer.probs_BHQK(), map_BHQK, atol=1e-6, rtol=0)
        assert layer.every_query
        assert layer.query_mask_BQ.all()


def _mask(kind):
    open_B1QK = torch.tensor([[[1, 0, 0], [1, 1, 0], [1, 1, 1]], [[1, 0, 0], [1, 1, 0], [1, 1, 0]]]).bool()
    open_B1QK = open_B1QK[:, None]
    if kind == "bool":
        return open_B1QK
    finite = torch.linspace(-2, 1, 9).view(1, 1, 3, 3) if kind == "finite" else 0.0
    masked = {"infinite": -torch.inf, "MarkupLM's": -1e4}.get(kind, SMALLEST)
    return torch.zeros(2, 1, 3, 3).add(finite).masked_fill(~open_B1QK, masked)


@pytest.mark.trap("map-3")
@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("kind", ["bool", "additive", "finite", "infinite", "MarkupLM's"])
def test_masks_of_every_form_and_a_bias_beside_them(kind, biased):
    """transformers' SDPA adds the position bias of T5 and its kin to whatever mask there is."""
    told = {"position_bias": torch.randn(1, 2, 3, 3, generator=torch.Generator().manual_seed(3))}
    model, site = attending()
    layer, map_BHQK = recorded(model, site, *heads(3, 3), _mask(kind), **(told if biased else {}))
    torch.testing.assert_close(layer.probs_BHQK(), map_BHQK, atol=1e-6, rtol=0)
    assert torch.equal(layer.mask_BHQK, _mask("bool"))
    assert layer.query_mask_BQ.tolist() == [[True] * 3, [True, True, False]]


def test_a_token_that_does_not_attend_to_itself_is_a_query():
    mask = torch.tensor([[0, 1, 0], [1, 0, 0], [1, 1, 0]]).bool()[None, None].expand(2, 1, 3, 3)
    model, site = attending()
    layer, _ = recorded(model, site, *heads(3, 3), mask)
    assert layer.query_mask_BQ.tolist() == [[True, True, False]] * 2


def test_a_bias_without_a_mask_leaves_later_keys_masked():
    model, site = attending(is_causal=True)
    bias = torch.linspace(-1, 2, 18).view(1, 2, 3, 3).requires_grad_()
    layer, map_BHQK = recorded(model, site, *heads(3, 3), position_bias=bias)
    torch.testing.assert_close(layer.probs_BHQK(), map_BHQK, atol=1e-6, rtol=0)
    assert torch.all(layer.probs_BHQK()[:, :, 0, 1:] == 0)
    weights_BHQK = torch.linspace(0, 1, 36).view(2, 2, 3, 3)
    ours, theirs = (
        torch.autograd.grad((maps * weights_BHQK).sum(), bias)[0] for maps in (layer.probs_BHQK(), map_BHQK)
    )
    torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


def test_eager_attention_without_a_mask_masks_nothing():
    model, site = attending(implementation="eager", is_causal=True)
    layer, map_BHQK = recorded(model, site, *heads(3, 3))
    torch.testing.assert_close(layer.probs_BHQK(), map_BHQK, atol=1e-6, rtol=0)
    assert torch.all(map_BHQK > 0)


@pytest.mark.parametrize("scaling", [None, 1.0, 0.3])
def test_the_scale_is_the_one_that_was_given(scaling):
    model, site = attending()
    query, key = heads(3, 3)
    layer, map_BHQK = recorded(model, site, query, key, scaling=scaling, is_causal=False)
    torch.testing.assert_close(layer.probs_BHQK(), map_BHQK, atol=1e-6, rtol=0)
    assert torch.equal(layer.query_BHQD, query)


def test_queries_that_a_module_scales_itself_are_given_as_they_were_before():
    """OPT and Whisper do so; a relation among queries would else be D times too small."""
    query, key = heads(3, 3)
    model, site = attending(scaling=3**-0.5)
    layer, map_BHQK = recorded(model, site, query * 3**-0.5, key, scaling=1.0, is_causal=False)
    torch.testing.assert_close(layer.query_BHQD, query)
    torch.testing.assert_close(layer.probs_BHQK(), map_BHQK, atol=1e-6, rtol=0)
    assert torch.equal(layer.key_BJKD, key)
    layer, _ = recorded(model, site, query, key, reads={"probs"}, scaling=1.0)
    assert layer.scale == 1.0  # nothing that is read needs it


def test_grouped_queries_keep_their_fewer_heads_of_keys():
    model, site = attending(num_key_value_groups=2)
    layer, map_BHQK = recorded(model, site, *heads(3, 3, key_heads=1), is_causal=False)
    assert layer.key_BJKD.shape[1] == layer.value_BJKD.shape[1] == 1
    torch.testing.assert_close(layer.probs_BHQK(), map_BHQK, atol=1e-6, rtol=0)


@pytest.mark.parametrize("reads", [{"probs"}, {"values"}, {"output_weight", "keys"}, None])
def test_only_what_is_read_is_kept(reads):
    model, site = attending()
    (module,) = [one for one in model.modules() if isinstance(one, Attention)]
    module.o_proj = nn.Linear(6, 4)
    layer, _ = recorded(model, site, *heads(3, 3), reads=reads)
    kept = {
        name
        for name in ("query_BHQD", "key_BJKD", "value_BJKD", "output_weight_HDd")
        if getattr(layer, name).device.type != "meta"
    }
    pairs = {"query_BHQD", "key_BJKD"}
    all_of_them = pairs | {"value_BJKD", "output_weight_HDd"}
    expected = (pairs, {"value_BJKD"}, pairs | {"output_weight_HDd"}, all_of_them)
    assert kept == expected[[{"probs"}, {"values"}, {"output_weight", "keys"}, None].index(reads)]
    assert layer.query_mask_BQ.all()


REFUSED = {
    "softcap": ({"softcap": 30.0}, {}, "softcap changes its maps"),
    "sinks": ({"s_aux": torch.zeros(2)}, {}, "s_aux changes its maps"),
    "sinks of the module": ({}, {"sinks": torch.zeros(2)}, "sinks changes its maps"),
    "kernel with a window": ({"sliding_window": 4}, {"implementation": KERNEL}, "masks by sliding_window"),
    "packed": ({"cu_seq_lens_q": torch.ones(2)}, {"implementation": KERNEL}, "masks by cu_seq_lens_q"),
    "no mask function": ({}, {"implementation": KERNEL}, "gets no mask, so that padding may be attended"),
    "flex": ({}, {"implementation": "flex_attention"}, "what flex_attention masks is not known"),
    "paged": ({}, {"implementation": "paged|eager"}, r"what paged\|eager masks is not known"),
}


@pytest.fixture
def other_functions(monkeypatch):
    """Functions in place of those that need another device or more arguments."""

    def function(_module, _query, _key, value, _mask, **_told):
        return value.transpose(1, 2), None

    for name in (KERNEL, "flex_attention", "paged|eager"):
        monkeypatch.setitem(AttentionInterface._global_mapping, name, function)


@pytest.mark.trap("map-5")
@pytest.mark.usefixtures("other_functions")
@pytest.mark.parametrize("what", REFUSED)
def test_what_a_map_would_not_show_is_refused_by_name(what):
    told, attributes, expected = REFUSED[what]
    model, site = attending(**attributes)
    with pytest.raises(
        AttentionDomainError, match=rf"site vision\.self, layer 0: .*{expected}.*\(Attention\)"
    ):
        recorded(model, site, *heads(3, 3), **told)


def test_steps_of_a_generation_and_shapes_that_are_none_of_attention_are_refused():
    model, site = attending()
    with pytest.raises(AttentionDomainError, match=r"1 queries, 3 keys of a cache: record whole passes"):
        recorded(model, site, *heads(1, 3))
    query, key = heads(3, 3)
    with pytest.raises(AttentionDomainError, match=r"queries and keys .* are not \(batch, heads, tokens"):
        recorded(model, site, query, key[:1])


def test_a_layer_called_twice_is_refused_and_two_passes_are_not():
    model, site = attending()
    with record(model, [site]) as recorder:
        attended(model, *heads(3, 3))
        attended(model, *heads(3, 3))
        with pytest.raises(AttentionDomainError, match=r"layer 0: .* called more than once.*forget\(\)"):
            recorder.trace(None)
        recorder.forget()
        attended(model, *heads(3, 3))
        assert recorder.trace(None).sites[site][0].query_BHQD.shape == (2, 2, 3, 3)
        attended(model, *heads(3, 3))
        recorder.trace(None)
