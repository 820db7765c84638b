"""A fake model that answers with what it sees, so that order, images, options and mode can be checked."""

import numpy as np
import pytest
import torch
from torch import nn

from amad_bench.data.task_data import ImageTable, Split
from amad_bench.data.tokenizer import BOS, EOS, PAD, Tokenizer, train_tokenizer
from amad_bench.scoring.decode import decode

WORDS = ["zero", "one", "two", "three", "four", "five", "six"]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer(WORDS, 60)


@pytest.fixture
def split() -> Split:
    """Five examples; the source of example i is the number i + 10, its image is row i."""
    return Split(
        example_ids=[str(i) for i in range(5)],
        cluster_ids=[str(i) for i in range(5)],
        source_ids_NL=np.array([[10 + i, EOS] for i in range(5)]),
        target_ids_NL=np.array([[5, EOS]] * 5),
        image_rows_N=np.arange(5),
        references=[["x"]] * 5,
    )


@pytest.fixture
def images() -> ImageTable:
    """Image i is one pixel with the colour 10 * i."""
    pixels = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1).repeat(3, axis=1) * 10
    return ImageTable(ids=list("abcde"), kind="pixels", pixels_M3SS=pixels)


class Parrot(nn.Module):
    """Generates the word for (source + colour), as `<s> word </s> <pad>`."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        super().__init__()
        self.frozen = nn.Dropout().eval()
        self.tokenizer = tokenizer
        self.calls: list[dict] = []

    def generate(self, input_ids, attention_mask, pixel_values, **options):
        assert not self.training
        assert not torch.is_grad_enabled()
        self.calls.append({"examples": len(input_ids), **options})
        colour_B = ((pixel_values[:, 0, 0, 0] + 1) * 127.5 / 10).round().long()
        words = [WORDS[int(i)] for i in (input_ids[:, 0] - 10 + colour_B) // 2]
        rows = [[BOS, *self.tokenizer.encode(word), EOS] for word in words]
        longest = max(map(len, rows)) + 1
        return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])


OPTIONS = {"max_length": 8, "beams": 3}


def test_order_options_and_batches(tokenizer, split, images):
    model = Parrot(tokenizer)
    texts = decode(model, split, images, tokenizer, OPTIONS, "cpu", batch=2)
    assert texts == ["zero", "one", "two", "three", "four"]
    assert [call["examples"] for call in model.calls] == [2, 2, 1]
    assert all(call["max_new_tokens"] == 8 and call["num_beams"] == 3 for call in model.calls)


def test_other_images(tokenizer, split, images):
    shuffled = np.array([4, 3, 2, 1, 0])  # (source + image) / 2 is 2 for all
    texts = decode(Parrot(tokenizer), split, images, tokenizer, OPTIONS, "cpu", image_rows=shuffled)
    assert texts == ["two"] * 5
    assert split.image_rows_N.tolist() == [0, 1, 2, 3, 4]


def test_wrong_number_of_image_rows(tokenizer, split, images):
    with pytest.raises(ValueError, match="4 image rows for 5 examples"):
        decode(Parrot(tokenizer), split, images, tokenizer, OPTIONS, "cpu", image_rows=np.arange(4))


def test_each_module_gets_its_mode_back(tokenizer, split, images):
    model = Parrot(tokenizer)
    assert model.training
    assert not model.frozen.training
    decode(model, split, images, tokenizer, OPTIONS, "cpu")
    assert model.training
    assert not model.frozen.training
    model.eval()
    decode(model, split, images, tokenizer, OPTIONS, "cpu")
    assert not model.training


def test_the_mode_comes_back_after_an_error(tokenizer, split, images):
    model = Parrot(tokenizer)
    with pytest.raises(KeyError):
        decode(model, split, images, tokenizer, {}, "cpu")
    assert model.training
