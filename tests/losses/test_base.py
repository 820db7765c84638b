"""Which layers, sites and entries of two traces are compared."""

from typing import Any

import pytest
import torch
from torch.testing import assert_close

from amad_bench.losses import amad_loss, build_loss, one_to_one_loss
from amad_bench.losses.base import LayerPair, MapLoss, layer_pairs
from amad_bench.losses.entries import traced_entries, traced_samples
from tests.losses.cases import layer_trace, trace


@pytest.mark.trap("site-3")
@pytest.mark.parametrize(
    ("layer_map", "student_layers", "teacher_layers", "pairs"),
    [
        ("last", 2, 12, [(1, 11)]),
        ("uniform", 4, 12, [(0, 2), (1, 5), (2, 8), (3, 11)]),  # TinyBERT-4: every third layer
        ("uniform", 3, 4, [(0, 0), (1, 2), (2, 3)]),  # 1.33, 2.67, 4, rounded
        ("uniform", 2, 3, [(0, 1), (1, 2)]),  # 1.5 is rounded up
        ("uniform", 6, 2, [(0, 0), (1, 0), (2, 0), (3, 0), (4, 1), (5, 1)]),
        ("uniform", 2, 2, [(0, 0), (1, 1)]),
        ([[0, 3], [1, 3]], 2, 4, [(0, 3), (1, 3)]),
    ],
)
def test_layer_maps(layer_map, student_layers, teacher_layers, pairs):
    assert layer_pairs(layer_map, student_layers, teacher_layers) == pairs


@pytest.mark.trap("site-3")
@pytest.mark.parametrize(
    ("layer_map", "message"),
    [
        ("lsat", "layer_map 'lsat' is none of 'last', 'uniform'"),
        ([], "is none of"),
        ([[0, 1, 2]], "is none of"),
        ([[0, 1.5]], "is none of"),
        ([[0, True]], "is none of"),
        ([[2, 0]], r"pair \[2, 0\] is outside the student's 2 and the teacher's 4 layers"),
        ([[0, 4]], r"pair \[0, 4\] is outside"),
        ([[-1, 0]], r"pair \[-1, 0\] is outside"),
        ([[0, 1], [0, 1]], "names a pair twice"),
    ],
)
def test_impossible_layer_maps_are_refused(layer_map, message):
    with pytest.raises(ValueError, match=message):
        layer_pairs(layer_map, student_layers=2, teacher_layers=4)


@pytest.mark.trap("amad-14")
def test_the_mean_is_over_mapped_layers_and_sites():
    teacher = trace({site: [layer_trace(4, seed=i + n) for i in (9, 0, 9, 1)] for n, site in enumerate("ab")})
    student = trace({site: [layer_trace(2, seed=i + n) for i in range(2)] for n, site in enumerate("ab")})
    terms = [
        amad_loss(teacher.sites[site][teacher_layer].probs_BHQK(), student.sites[site][layer].probs_BHQK())
        for site in "ab"
        for layer, teacher_layer in ((0, 1), (1, 3))  # 2 layers on 4, uniformly
    ]
    parts = build_loss("amad", layer_map="uniform")(teacher, student)
    assert list(parts) == ["attention"]
    assert_close(parts["attention"], sum(terms) / 4)
    assert_close(build_loss("amad", sites=["b"])(teacher, student)["attention"], terms[3])
    assert_close(
        build_loss("amad", layer_map=[[0, 1]])(teacher, student)["attention"], (terms[0] + terms[2]) / 2
    )


def test_by_default_only_sites_of_both_traces_are_compared():
    teacher = trace({"a": [layer_trace(4)], "b": [layer_trace(4)]})
    student = trace({"b": [layer_trace(2)], "c": [layer_trace(2)]})
    expected = build_loss("amad", sites=["b"])(teacher, student)["attention"]
    assert torch.equal(build_loss("amad")(teacher, student)["attention"], expected)
    with pytest.raises(ValueError, match=r"share no site: \['a', 'b'\] and \['c'\]"):
        build_loss("amad")(teacher, trace({"c": student.sites["c"]}))


@pytest.mark.trap("site-2")
def test_a_site_that_a_trace_lacks_is_named():
    teacher = trace({"encoder.self": [layer_trace(4)]})
    student = trace({"encoder.self": [layer_trace(2)]})
    with pytest.raises(
        ValueError, match=r"teacher's trace has no site 'encoder\.slef'.*mean 'encoder\.self'\?"
    ):
        build_loss("amad", sites=["encoder.slef"])(teacher, student)
    for sites in ([], "encoder.self"):
        with pytest.raises(ValueError, match="expected a list of at least one site"):
            build_loss("amad", sites=sites)


@pytest.mark.trap("amad-1")
def test_masks_of_both_traces_decide_which_entries_count():
    """Padded keys, padded queries and a causal mask, against the mask arguments of the pure function."""
    key_mask = torch.tensor([[True] * 5, [True, True, True, False, False]])
    teacher_queries = torch.tensor([[True] * 4 + [False], [True] * 5])
    student_queries = torch.tensor([[True] * 5, [True, True, True, False, False]])
    causal = torch.ones(5, 5, dtype=torch.bool).tril()
    teacher_layer = layer_trace(4, mask_BHQK=key_mask[:, None, None, :], query_mask_BQ=teacher_queries)
    student_layer = layer_trace(
        2, mask_BHQK=key_mask[:, None, None, :] & causal, query_mask_BQ=student_queries
    )
    expected = amad_loss(
        teacher_layer.probs_BHQK(),
        student_layer.probs_BHQK(),
        query_mask_BQ=teacher_queries & student_queries,
        key_mask_BK=key_mask,
        cell_mask_QK=causal,
    )
    parts = build_loss("amad")(trace({"a": [teacher_layer]}), trace({"a": [student_layer]}))
    assert_close(parts["attention"], expected, rtol=1e-6, atol=0)


def test_a_random_student_has_a_loss_and_a_gradient_at_every_valid_token():
    key_mask = torch.tensor([[True] * 5, [True, True, True, False, False]])
    masks: dict[str, Any] = {"mask_BHQK": key_mask[:, None, None, :], "query_mask_BQ": key_mask}
    teacher, student = (
        trace({"a": [layer_trace(8, **masks)]}),
        trace({"a": [layer_trace(2, **masks, seed=1)]}),
    )
    for name, options in (("amad", {}), ("amad", {"variant": "mse"}), ("student_mean", {})):
        loss = build_loss(name, **options)(teacher, student)["attention"]
        assert loss > 0.01
        queries = student.sites["a"][0].query_BHQD
        (gradient,) = torch.autograd.grad(loss, queries)
        moved = gradient.abs().sum((1, 3)) > 0
        assert torch.equal(moved, key_mask)


def test_different_lengths_are_refused_with_both_shapes_and_the_site():
    teacher, student = trace({"a": [layer_trace(4, keys=6)]}), trace({"a": [layer_trace(2, keys=7)]})
    with pytest.raises(ValueError, match=r"^a: teacher maps \(2, 4, 5, 6\) and student maps \(2, 2, 5, 7\)"):
        build_loss("amad")(teacher, student)


def test_a_mask_per_head_is_refused():
    mask = torch.ones(2, 2, 5, 5, dtype=torch.bool)
    teacher, student = trace({"a": [layer_trace(4)]}), trace({"a": [layer_trace(2, mask_BHQK=mask)]})
    with pytest.raises(ValueError, match=r"^a: the attention mask \(2, 2, 5, 5\) does not broadcast"):
        build_loss("amad")(teacher, student)


def test_a_loss_that_lacks_its_teacher_says_so():
    student = trace({"a": [layer_trace(2)]})
    for name in ("amad", "logit_kd", "hidden_mse", "tinybert", "a2d"):
        with pytest.raises(ValueError, match="compares a student with a teacher, whose trace is missing"):
            build_loss(name)(None, student)


@pytest.mark.trap("ce-1")
def test_logit_losses_take_labels_from_the_student():
    teacher, student = trace({}, seed=0), trace({}, seed=1)
    teacher.labels_BL = torch.full_like(teacher.labels_BL, -100)
    assert build_loss("ce")(teacher, student)["ce"] > 0
    assert build_loss("ce")(None, student)["ce"] > 0
    build_loss("ce").materialise(None, student)  # the trainer asks every loss, a teacher or none
    assert build_loss("logit_kd")(teacher, student)["logit_kd"] > 0


def test_no_mask_is_made_where_every_query_and_key_is_known_to_be_real():
    """As of a ViT: masks would be read with every pass over the maps."""
    teacher, student = layer_trace(4), layer_trace(2)
    mask_B1QK = traced_entries(teacher, student)
    assert mask_B1QK is not None
    assert mask_B1QK.all()
    teacher.every_query = student.every_query = True
    assert traced_entries(teacher, student) is None
    assert traced_samples(teacher, student).tolist() == [True, True]
    keys_BK = torch.tensor([[True] * 5, [False] * 5])
    student.mask_BHQK = keys_BK[:, None, None, :]
    assert traced_samples(teacher, student).tolist() == [True, False]


def test_parameters_that_chunks_would_give_no_gradient_are_an_error():
    class Scaled(MapLoss):
        function = staticmethod(one_to_one_loss)

        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(()))

        def compare(self, pair: LayerPair) -> torch.Tensor:
            return self.scale * super().compare(pair)

    class Dense(Scaled):
        kernels = ("auto", "dense")

    teacher, student = trace({"a": [layer_trace(2, seed=1)]}), trace({"a": [layer_trace(2)]})
    with pytest.raises(
        ValueError, match=r"^a: by chunks the parameters of Scaled get no gradient: kernels = "
    ):
        Scaled()(teacher, student)
    loss = Dense()
    loss(teacher, student)["attention"].backward()
    assert loss.scale.grad is not None
