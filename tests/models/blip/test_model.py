"""BLIP against transformers' stock classes, and the traps that docs/methods.md lists."""

import pytest
import torch
from transformers.models.blip.configuration_blip import BlipTextConfig, BlipVisionConfig
from transformers.models.blip.modeling_blip import BlipForConditionalGeneration, BlipForQuestionAnswering

from amad_bench.losses import ce_loss
from amad_bench.models.blip.model import SdpaTextAttention, SdpaVisionAttention
from tests.tiny_models import tiny_batch, tiny_model, without_labels

KINDS = ("blip-vqa", "blip-captioning")


@pytest.mark.trap("blip-4")
@pytest.mark.parametrize("kind", KINDS)
def test_fresh_weights_are_spread(kind):
    """transformers' vision default initializer_range is 1e-10: such weights would never learn."""
    assert BlipVisionConfig().initializer_range == 1e-10
    expected = 0.02 * (768 / 16) ** 0.5
    for name, weight in tiny_model(kind).named_parameters():
        if weight.dim() > 1:
            assert weight.std().item() == pytest.approx(expected, rel=0.5), name


@pytest.mark.trap("heads-10")
@pytest.mark.parametrize("heads", [2, 4])
@pytest.mark.parametrize("kind", KINDS)
def test_every_attention_has_the_heads_asked_for(kind, heads):
    """transformers' text default is 8 heads where BERT has 12, and no tensor's shape shows it."""
    assert BlipTextConfig().num_attention_heads == 8
    counts = [
        getattr(module, "num_heads", None) or module.num_attention_heads
        for module in tiny_model(kind, heads=heads).modules()
        if isinstance(module, (SdpaVisionAttention, SdpaTextAttention))
    ]
    assert counts == [heads] * (2 + 4 * (2 if kind == "blip-vqa" else 1))


@pytest.mark.trap("blip-5")
@pytest.mark.parametrize("kind", KINDS)
def test_logits_equal_the_stock_model(kind):
    ours = tiny_model(kind).eval()
    batch = tiny_batch(kind)
    batch["input_ids"][batch["input_ids"] == 0] = 5  # no padding: stock cross-attention ignores its mask
    batch["attention_mask"] = torch.ones_like(batch["input_ids"])
    batch["labels"][batch["labels"] == -100] = 6
    bos, labels = torch.full((3, 1), 3), batch["labels"]
    stock_class = BlipForQuestionAnswering if kind == "blip-vqa" else BlipForConditionalGeneration
    stock = stock_class(ours.config).eval()
    stock.load_state_dict(ours.state_dict())
    with torch.no_grad():
        image = stock.vision_model(batch["pixel_values"]).last_hidden_state
        if kind == "blip-vqa":
            question = stock.text_encoder(
                batch["input_ids"], attention_mask=batch["attention_mask"], encoder_hidden_states=image
            ).last_hidden_state
            decoder = torch.cat([bos, labels[:, :-1]], dim=1)
            expected = stock.text_decoder(decoder, encoder_hidden_states=question).logits
        else:
            decoder = torch.cat([bos, batch["input_ids"], labels[:, :-1]], dim=1)
            expected = stock.text_decoder(decoder, encoder_hidden_states=image).logits[:, 3:]
        actual = ours(**batch).logits
    torch.testing.assert_close(actual, expected, atol=1e-5, rtol=0)


def test_padding_of_the_question_changes_nothing():
    model = tiny_model("blip-vqa").eval()
    batch = tiny_batch("blip-vqa")
    changed = {name: value.clone() for name, value in batch.items()}
    changed["input_ids"][1, 4:] = 7
    torch.testing.assert_close(model(**changed).logits, model(**batch).logits, atol=1e-6, rtol=0)
    ids = [model.generate(**without_labels(b), max_new_tokens=4, do_sample=False) for b in (batch, changed)]
    assert torch.equal(ids[0], ids[1])


@pytest.mark.trap("blip-6")
@pytest.mark.parametrize("kind", KINDS)
def test_ignored_labels_are_allowed_and_do_not_count(kind):
    """Labels of -100 raise an IndexError in transformers' VQA decoder path."""
    model = tiny_model(kind).eval()
    batch = tiny_batch(kind)
    output = model(**batch)
    kept = batch["labels"] != -100
    expected = torch.nn.functional.cross_entropy(output.logits[kept], batch["labels"][kept])
    torch.testing.assert_close(ce_loss(output.logits, batch["labels"]), expected)


@pytest.mark.trap("blip-6")
def test_stock_answerer_cannot_take_ignored_labels():
    """Why our models prepare the decoder's input themselves; fails once transformers allows them."""
    batch = tiny_batch("blip-vqa")
    assert (batch["labels"] == -100).any()
    with pytest.raises(IndexError):
        BlipForQuestionAnswering(tiny_model("blip-vqa").config)(**batch)


@pytest.mark.trap("blip-7")
@pytest.mark.parametrize("kind", KINDS)
def test_two_examples_are_learnt_and_decoded_exactly(kind):
    """Fails when labels are shifted twice: the answer would then decode without its first token."""
    model = tiny_model(kind, seed=1)
    batch = {name: value[:2] for name, value in tiny_batch(kind).items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(150):
        loss = ce_loss(model(**batch).logits, batch["labels"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    ids = model.generate(**without_labels(batch), max_new_tokens=5, do_sample=False, num_beams=1)
    for row, labels in zip(ids, batch["labels"], strict=True):
        wanted = labels[labels != -100]
        assert torch.equal(row[: len(wanted)], wanted)
