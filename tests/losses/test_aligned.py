import inspect
import pickle

import torch

from amad_bench.losses import alignment_weights, amad_loss
from amad_bench.losses.aligned import with_alignment
from tests.losses.cases import make_case


def test_a_loss_that_aligns_heads_can_be_asked_for_the_alignment():
    case = make_case("H < G", "all")
    pair = case.teacher_BHQK, case.student_BGQK
    found = with_alignment(amad_loss)(*pair, **case.masks, temperature=0.3)
    assert torch.equal(found.loss, amad_loss(*pair, **case.masks, temperature=0.3))
    assert torch.equal(found.alignment_BHG, alignment_weights(*pair, **case.masks, temperature=0.3))
    assert found.counts_B.tolist() == [True, True]


def test_the_loss_alone_looks_like_the_function_that_it_is():
    """To `help`, to tools that read signatures, and to other processes."""
    assert inspect.signature(amad_loss).return_annotation is torch.Tensor
    assert amad_loss.__doc__.startswith("AMAD of two sets of maps: a scalar")
    assert pickle.loads(pickle.dumps(amad_loss)) is amad_loss
