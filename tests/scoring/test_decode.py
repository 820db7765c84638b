"""Fake models that answer with what they see, so that order, images, options and mode can be checked."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import takewhile

import numpy as np
import pytest
import torch
from torch import nn

from amad_bench.data.images.pixels import StoredPixels
from amad_bench.data.images.regions import PatchRegions
from amad_bench.data.images.table import ImageTable
from amad_bench.data.tasks.data import Split
from amad_bench.data.text.tokenizer import Tokenizer, train_tokenizer
from amad_bench.plan.config.training import Decoding
from amad_bench.scoring.decode import decode
from tests.tiny_models import VOCABULARY, tiny_model

PAD, EOS, BOS = 0, 1, 3  # of every vocabulary trained here
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
        groups=[{}] * 5,
        answer_scores=[{}] * 5,
        pad=PAD,
    )


@pytest.fixture
def images() -> ImageTable:
    """Image i is one pixel with the colour 10 * i."""
    pixels = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1).repeat(3, axis=1) * 10
    return StoredPixels(ids=list("abcde"), pixels_M3SS=pixels)


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
        assert attention_mask.shape == input_ids.shape
        self.calls.append({"examples": len(input_ids), "longest": input_ids.shape[1], **options})
        colour_B = ((pixel_values[:, 0, 0, 0] + 1) * 127.5 / 10).round().long()
        words = [WORDS[int(i)] for i in (input_ids[:, 0] - 10 + colour_B) // 2]
        rows = [[BOS, *self.tokenizer.encode(word), EOS] for word in words]
        longest = max(map(len, rows)) + 1
        return torch.tensor([row + [PAD] * (longest - len(row)) for row in rows])


DECODING = Decoding(max_length=8, beams=3)
RANKED = Decoding(max_length=8, beams=3, rank=3)


class Chooser(Parrot):
    """Says which candidate has the first id that the source and the colour ask for."""

    def rank(self, input_ids, attention_mask, pixel_values, answer_ids_AL, k):
        assert not self.training
        assert attention_mask.shape == input_ids.shape
        self.calls.append({"examples": len(input_ids), "k": k, "answers": answer_ids_AL.tolist()})
        colour_B = ((pixel_values[:, 0, 0, 0] + 1) * 127.5 / 10).round().long()
        return len(answer_ids_AL) - 1 - (input_ids[:, 0] - 10 + colour_B) // 2


def test_ranked_answers_are_candidates(tokenizer, split, images):
    """Candidates go to the model with EOS, padded; their texts are the answers, in the split's order."""
    model = Chooser(tokenizer)
    candidates = ["four", "three", "two", "one two", "zero"]
    texts = decode(model, split, images, tokenizer, RANKED, "cpu", batch=6, candidates=candidates)
    assert texts == ["zero", "one two", "two", "three", "four"]
    assert [call["examples"] for call in model.calls] == [2, 2, 1]
    encoded = [[*tokenizer.encode(text), EOS] for text in candidates]
    longest = max(map(len, encoded))
    expected = [ids + [PAD] * (longest - len(ids)) for ids in encoded]
    assert all(call["k"] == 3 and call["answers"] == expected for call in model.calls)


def test_ranking_needs_candidates(tokenizer, split, images):
    with pytest.raises(ValueError, match="best of the candidate answers, and there are none"):
        decode(Chooser(tokenizer), split, images, tokenizer, RANKED, "cpu", batch=2)


def test_without_a_rank_candidates_change_nothing(tokenizer, split, images):
    texts = decode(Parrot(tokenizer), split, images, tokenizer, DECODING, "cpu", batch=2, candidates=["six"])
    assert texts == WORDS[:5]


def test_order_options_and_batches(tokenizer, split, images):
    model = Parrot(tokenizer)
    texts = decode(model, split, images, tokenizer, DECODING, "cpu", batch=6)
    assert texts == ["zero", "one", "two", "three", "four"]
    assert [call["examples"] for call in model.calls] == [2, 2, 1]  # with three beams each, six texts
    assert all(call["max_new_tokens"] == 8 and call["num_beams"] == 3 for call in model.calls)


def test_examples_grouped_by_length_keep_their_order(tokenizer, split, images):
    """Sources of 3, 2, 1, 2, 1 ids in 30 places: decoded shortest first, and put back."""
    wide = np.full((5, 30), PAD)
    wide[:, 0] = split.source_ids_NL[:, 0]
    wide[0, 1:3] = wide[[1, 3], 1] = EOS
    grouped = replace(split, source_ids_NL=wide)
    assert grouped.mostly_padding
    model = Parrot(tokenizer)
    assert decode(model, grouped, images, tokenizer, DECODING, "cpu", batch=6) == WORDS[:5]
    assert [call["longest"] for call in model.calls] == [1, 2, 3]


def test_other_images(tokenizer, split, images):
    shuffled = np.array([4, 3, 2, 1, 0])  # (source + image) / 2 is 2 for all
    texts = decode(Parrot(tokenizer), split, images, tokenizer, DECODING, "cpu", batch=2, image_rows=shuffled)
    assert texts == ["two"] * 5
    assert split.image_rows_N.tolist() == [0, 1, 2, 3, 4]


def test_wrong_number_of_image_rows(tokenizer, split, images):
    with pytest.raises(ValueError, match="4 image rows for 5 examples"):
        decode(Parrot(tokenizer), split, images, tokenizer, DECODING, "cpu", batch=2, image_rows=np.arange(4))


def test_each_module_gets_its_mode_back(tokenizer, split, images):
    model = Parrot(tokenizer)
    assert model.training
    assert not model.frozen.training
    decode(model, split, images, tokenizer, DECODING, "cpu", batch=6)
    assert model.training
    assert not model.frozen.training
    model.eval()
    decode(model, split, images, tokenizer, DECODING, "cpu", batch=6)
    assert not model.training


def test_the_mode_comes_back_after_an_error(tokenizer, split, images):
    model = Parrot(tokenizer)  # it cannot rank
    with pytest.raises(AttributeError, match="rank"):
        decode(model, split, images, tokenizer, RANKED, "cpu", batch=2, candidates=["one"])
    assert model.training


class Numbers(Tokenizer):
    """Every id is a word; what follows the first EOS is dropped."""

    def __init__(self) -> None:
        """It has no vocabulary."""

    def decode(self, ids: Iterable[int]) -> str:
        return " ".join(str(token) for token in takewhile(lambda token: token != EOS, ids))


def random_examples(kind: str) -> tuple[Split, ImageTable]:
    """64 examples with their own images; questions of 1 to 8 tokens, one prompt for all captions."""
    rng = np.random.default_rng(0)
    source_ids_NL = rng.integers(4, VOCABULARY, (64, 8))
    if kind == "blip-captioning":
        source_ids_NL[:] = source_ids_NL[0]
    else:
        source_ids_NL[np.arange(8) >= rng.integers(1, 9, (64, 1))] = PAD
    names = [str(number) for number in range(64)]
    split = Split(
        names,
        names,
        source_ids_NL,
        np.full((64, 1), EOS),
        np.arange(64),
        [["x"]] * 64,
        [{}] * 64,
        [{}] * 64,
        PAD,
    )
    if kind != "vlt5":
        pixels_M3SS = rng.integers(0, 256, (64, 3, 16, 16), np.uint8)
        return split, StoredPixels(names, pixels_M3SS)
    boxes_MR4 = rng.random((64, 3, 4), np.float32) / 2 + np.array([0, 0, 0.5, 0.5], np.float32)
    mask_MR = np.arange(3) < rng.integers(1, 4, (64, 1))
    features_MRF = rng.integers(0, 256, (64, 3, 12), np.uint8)
    return split, PatchRegions(names, features_MRF, boxes_MR4, mask_MR)


@pytest.mark.parametrize(("kind", "seed"), [("vlt5", 3), ("blip-vqa", 0), ("blip-captioning", 0)])
def test_three_beams_find_the_same_alone_and_in_a_batch(kind, seed):
    """Spread-out weights, so that no two beams are as good as equal; the seeds give texts of many lengths."""
    split, images = random_examples(kind)
    model = tiny_model(kind)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.3, generator=generator)
    decoding = Decoding(max_length=12, beams=3)
    alone, together = (
        decode(model, split, images, Numbers(), decoding, "cpu", batch=batch) for batch in (1, 64)
    )
    assert alone == together
    assert len(set(alone)) > 20
    assert len({len(text.split()) for text in alone}) > 2
