"""Masked words for BLIP's text side, against transformers' BERT."""

import torch
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM

from amad_bench.models.blip.model import BlipAnswerer
from amad_bench.models.blip.pretraining import BlipMlm
from tests.models.blip.test_pretraining import captions, config, learnt, spread_out
from tests.tiny_models import VOCABULARY


def masked_words() -> dict[str, Tensor]:
    batch = captions([0, 1, 2])
    ids, labels = batch["input_ids"].clone(), torch.full((3, 7), -100)
    for row, column in [(0, 1), (0, 2), (1, 2), (2, 1)]:
        labels[row, column] = ids[row, column]
        ids[row, column] = 2
    return {"input_ids": ids, "attention_mask": batch["attention_mask"], "labels": labels}


@torch.no_grad()
def test_masked_words_equal_transformers_bert():
    """BERT without token types is BLIP's text encoder: a stock model with a table of zeros for them."""
    model = spread_out(BlipMlm(config())).eval()
    bert = BertForMaskedLM(
        BertConfig(
            vocab_size=VOCABULARY,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=24,
        )
    ).eval()
    bert.bert.embeddings.token_type_embeddings.weight.zero_()
    missing, unexpected = bert.load_state_dict(model.text.state_dict(), strict=False)
    assert (missing, unexpected) == (["bert.embeddings.token_type_embeddings.weight"], [])
    batch = masked_words()
    loss, parts = model(**batch)
    torch.testing.assert_close(loss, bert(**batch).loss, atol=1e-5, rtol=0)
    assert list(parts) == ["mlm"]
    nothing = {**batch, "labels": torch.full((3, 7), -100)}
    assert model(**nothing)[0].item() == 0


@torch.no_grad()
def test_masked_words_become_both_text_stacks():
    """Cross-attention and the vision side are not among them."""
    model = spread_out(BlipMlm(config())).eval()
    weights = model.task_weights()
    answerer = BlipAnswerer(config()).eval()
    missing, unexpected = answerer.load_state_dict(weights, strict=False)
    assert unexpected == []
    assert all(".crossattention." in k or k.startswith("vision_model.") or ".decoder." in k for k in missing)
    batch = masked_words()
    expected = model.text.bert(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    for stack in (answerer.text_encoder, answerer.text_decoder.bert):
        actual = stack(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
        assert torch.equal(actual, expected)
    assert torch.equal(answerer.text_decoder.cls(expected), model.text.cls(expected))
    assert len({tensor.data_ptr() for tensor in weights.values()}) == len(weights)


def test_masked_words_can_be_learnt():
    torch.manual_seed(0)
    assert learnt(BlipMlm(config()), masked_words(), steps=80)["mlm"] < 0.1
