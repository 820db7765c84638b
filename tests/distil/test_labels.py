"""Labels count where a model's own loss has them."""

import re
from pathlib import Path

import pytest
import torch
import transformers

from amad_bench import Distiller
from amad_bench.distil.models import UNSHIFTED
from tests.distil.pairs import batch

SIZES = {"vocab_size": 40, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
BERT = SIZES | {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
MODELS = {
    "BartForCausalLM": (
        "BartConfig",
        SIZES
        | {"d_model": 8, "decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 8}
        | {"encoder_layers": 1, "encoder_attention_heads": 2},
    ),
    "BertGenerationDecoder": ("BertGenerationConfig", BERT | {"is_decoder": True}),
    "BertLMHeadModel": ("BertConfig", BERT | {"is_decoder": True}),
    "BertForMaskedLM": ("BertConfig", BERT),
    "XLNetLMHeadModel": ("XLNetConfig", SIZES | {"d_model": 8, "n_layer": 1, "n_head": 2, "d_inner": 8}),
}


@pytest.mark.parametrize("name", MODELS)
def test_ce_is_the_models_own_loss(name):
    config, values = MODELS[name]
    torch.manual_seed(0)
    teacher, student = (
        getattr(transformers, name)(getattr(transformers, config)(**values, initializer_range=spread)).eval()
        for spread in (0.4, 0.5)
    )
    inputs = batch()
    inputs["labels"][0, :2] = -100
    parts = Distiller(teacher, student, {"ce": 1.0})(inputs)
    torch.testing.assert_close(parts["ce"], parts.output.loss)


def test_every_causal_model_that_does_not_shift_is_known():
    """By its source: a loss of its own, and no labels from the second on. Musicgen's have three axes."""
    found = set()
    for path in Path(transformers.__file__).parent.glob("models/*/modeling_*.py"):
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(
            r"(?ms)^class (\w+)(?:ForCausalLM|LMHeadModel)\(.*?(?=^@|^class |^__all__|\Z)", text
        ):
            body = re.sub(r"\s", "", match[0])
            if "CrossEntropyLoss(" in body and ",1:" not in body:
                found.add(re.match(r"class (\w+)", match[0])[1])
    assert len(found) >= 10
    assert found <= UNSHIFTED | {"MusicgenForCausalLM", "MusicgenMelodyForCausalLM"}
