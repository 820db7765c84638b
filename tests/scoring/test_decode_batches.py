"""Decoding does not depend on what else is in the batch, nor on the cache of keys and values (fp32)."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from amad_bench.data.images.table import ImageTable
from amad_bench.data.tasks.data import Split
from amad_bench.plan.config.training import Decoding
from amad_bench.scoring.decode import decode
from tests.scoring.test_decode import PAD, Numbers, random_examples
from tests.tiny_models import KINDS, tiny_model

LENGTH = 12
SEEDS = {"vlt5": 3, "blip-vqa": 0, "blip-captioning": 0}  # found by trying
DECODERS = {"vlt5": "decoder", "blip-vqa": "text_decoder", "blip-captioning": "text_decoder"}


def spread_out(kind: str) -> nn.Module:
    """Weights so far apart that no two next tokens are as good as equal; texts of many lengths."""
    model = tiny_model(kind)
    generator = torch.Generator().manual_seed(SEEDS[kind])
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, 0.3, generator=generator)
    return model


def mixed_examples(kind: str) -> tuple[Split, ImageTable]:
    """As `random_examples`, but mostly padding, so that batches are cut to their longest source.

    VL-T5 also gets examples without an image, whose regions are all masked.
    """
    split, images = random_examples(kind)
    if kind == "blip-captioning":
        return split, images  # its prompt is one for all: nothing can be padded
    wide_NL = np.pad(split.source_ids_NL, ((0, 0), (0, 40)), constant_values=PAD)
    rows_N = split.image_rows_N.copy()
    if kind == "vlt5":
        rows_N[::5] = -1
    split = replace(split, source_ids_NL=wide_NL, image_rows_N=rows_N)
    assert split.mostly_padding
    return split, images


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_alone_and_in_batches_of_any_size(kind, beams):
    split, images = mixed_examples(kind)
    model = spread_out(kind)
    decoding = Decoding(max_length=LENGTH, beams=beams)
    alone, some, together = (
        decode(model, split, images, Numbers(), decoding, "cpu", batch=batch * beams) for batch in (1, 7, 64)
    )
    assert alone == together
    assert alone == some
    assert len(set(alone)) > 20
    assert len({len(text.split()) for text in alone}) > 2


@pytest.mark.parametrize("beams", [1, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_the_cache_is_used_and_changes_nothing(kind, beams):
    split, images = mixed_examples(kind)
    model = spread_out(kind)
    decoding = Decoding(max_length=LENGTH, beams=beams)
    lengths: list[int] = []
    decoder = model.get_submodule(DECODERS[kind])
    handle = decoder.register_forward_pre_hook(
        lambda _module, _arguments, named: lengths.append(named["input_ids"].shape[1]), with_kwargs=True
    )
    cached = decode(model, split, images, Numbers(), decoding, "cpu", batch=64 * beams)
    handle.remove()
    assert len(lengths) > 2
    assert set(lengths[1:]) == {1}  # after the first step only the new token goes through the decoder
    model.generate = partial(model.generate, use_cache=False)
    assert decode(model, split, images, Numbers(), decoding, "cpu", batch=64 * beams) == cached


@pytest.mark.parametrize("kind", KINDS)
def test_twice_the_same(kind):
    split, images = mixed_examples(kind)
    model = spread_out(kind)
    decoding = Decoding(max_length=LENGTH, beams=3)
    torch.manual_seed(1)
    first = decode(model, split, images, Numbers(), decoding, "cpu", batch=64)
    torch.manual_seed(2)
    assert decode(model, split, images, Numbers(), decoding, "cpu", batch=64) == first
