"""What a Distiller refuses, each in one line."""

import re

import pytest

from amad_bench import Distiller
from tests.distil.pairs import batch, bert, llama


@pytest.fixture
def pair():
    return llama(4, 2, seed=1), llama(2, 1, seed=2)


LONGER = batch(tokens=7)


@pytest.mark.parametrize(
    ("losses", "options", "message"),
    [
        ("amat", {}, "unknown loss 'amat'. Did you mean 'amad'?"),
        ({}, {}, "losses: none is given; name one, such as 'amad'"),
        (["amad"], {}, "losses: expected a name or a mapping of names to weights, found ['amad']"),
        ("amad", {"layer_map": None}, "decoder.self: layer_map None is none of 'last', 'uniform'"),
        (
            {"amad": {"variant": "kll"}},
            {},
            "amad.variant: expected kl or mse or projected or token, found 'kll'",
        ),
        ({"amad": {"weight": "1"}}, {}, "amad.weight: expected a finite number, found '1'"),
        (
            "amad",
            {"sites": ["encoder.self"]},
            "the teacher: LlamaForCausalLM has no attention site 'encoder.self'; it has: decoder.self",
        ),
        ("amad", {"sites": "decoder.self"}, "sites 'decoder.self': expected a list of at least one site"),
        (
            "amad",
            {"layer_map": [[0, 2]]},
            "decoder.self: layer_map pair [0, 2] is outside the student's 2 and",
        ),
        ("amad", {"layer_map": [1]}, "decoder.self: layer_map [1] is none of 'last', 'uniform'"),
        ("amad", {"layer_map": "first"}, "decoder.self: layer_map 'first' is none of 'last', 'uniform'"),
    ],
    ids=str,
)
def test_what_cannot_be_built_is_said_in_one_line(pair, losses, options, message):
    with pytest.raises(ValueError, match=rf"^{re.escape(message)}[^\n]*$"):
        Distiller(*pair, losses, **options)


def test_a_model_cannot_teach_itself(pair):
    with pytest.raises(ValueError, match=r"^teacher and student are one model; copy\.deepcopy it for[^\n]*$"):
        Distiller(pair[0], pair[0], "amad")


def test_models_without_a_common_site():
    with pytest.raises(ValueError, match=r"no attention site: the teacher encoder\.self and the student"):
        Distiller(bert(4), llama(2, 1), "amad")


@pytest.mark.parametrize(
    ("models", "losses", "inputs", "message"),
    [
        ((llama(4, 2, vocab_size=41), llama(2, 1)), "logit_kd", (batch(),), "logit_kd needs one vocabulary"),
        (
            (llama(4, 2), llama(2, 1)),
            "amad",
            (batch(), LONGER),
            r"decoder.self: teacher maps \(3, 4, 6, 6\) and",
        ),
        (
            (llama(4, 2), llama(2, 1)),
            "logit_kd",
            (batch(), LONGER),
            r"teacher logits \(3, 6, 40\) and student",
        ),
        (
            (llama(4, 2), llama(2, 1)),
            "one_to_one",
            (batch(),),
            "decoder.self: one_to_one compares head h with",
        ),
        (
            (llama(4, 2).model, llama(2, 1).model),
            "logit_kd",
            ({"input_ids": batch()["input_ids"]},),
            "the teacher's output has no logits",
        ),
        ((llama(4, 2), llama(2, 1)), "ce", ({"input_ids": batch()["input_ids"]},), "ce needs `labels`"),
    ],
    ids=["vocabularies", "lengths", "lengths of logits", "heads", "no head", "no labels"],
)
def test_what_cannot_be_compared_is_said_in_one_line(models, losses, inputs, message):
    with pytest.raises(ValueError, match=rf"^{message}[^\n]*$"):
        Distiller(*models, losses)(*inputs)
