"""Batches of BLIP's pre-training, read back from their tensors."""

from collections import Counter

import torch

from tests.models.conftest import batches

IGNORED = -100


def test_blips_masked_words(data_of):
    data = data_of("blip", "text")
    texts = Counter[str]()
    for batch in batches(data, "blip", "text", 45, 8):
        assert set(batch) == {"input_ids", "attention_mask", "labels"}
        masked = batch["labels"] != IGNORED
        assert (masked.sum(1) >= 1).all()
        assert (batch["input_ids"] == data.tokenizer.special.mask).sum() > 0.5 * masked.sum()
        original = torch.where(masked, batch["labels"], batch["input_ids"])
        assert torch.equal(batch["attention_mask"], (original != data.tokenizer.pad).long())
        assert (original[:, 0] == data.tokenizer.start).all()
        assert ((original == data.tokenizer.eos).sum(1) == 1).all()
        texts += Counter(data.tokenizer.decode(ids) for ids in original.tolist())
    assert texts == Counter([*data.train.captions, *data.train.questions])


def test_blips_captions_with_their_images(data_of):
    data = data_of("blip", "vl")
    found = Counter[tuple[str, int]]()
    for batch in batches(data, "blip", "vl", 25, 8):
        assert set(batch) == {"pixel_values", "input_ids", "attention_mask", "image_ids"}
        assert (batch["input_ids"][:, 0] == data.tokenizer.start).all()
        assert batch["input_ids"].shape[1] == batch["attention_mask"].sum(1).max() <= data.train.longest
        expected = data.images.batch(batch["image_ids"].numpy(), "cpu")["pixel_values"]
        assert torch.equal(batch["pixel_values"], expected)
        texts = [data.tokenizer.decode(ids) for ids in batch["input_ids"].tolist()]
        found += Counter(zip(texts, batch["image_ids"].tolist(), strict=True))
    assert found == Counter(zip(data.train.captions, data.train.caption_rows_C.tolist(), strict=True))
