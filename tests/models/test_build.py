"""What a model takes from the tokenizer and from the images."""

import pytest

from amad_bench.data.tokenizer import SpecialIds
from amad_bench.models.build import build_model

SHAPE = {"layers": 1, "width": 16, "heads": 2, "head_size": 8, "feed_forward": 32, "dropout": 0.0}
GRID = {"kind": "extracted", "model": "x", "size": 224, "rows": 2, "columns": 3}
PIXELS = {"kind": "pixels", "size": 16, "patch": 8}
BERT = SpecialIds(pad=0, eos=102, unknown=100, bos=101)


@pytest.mark.parametrize(
    ("inputs", "feature_size", "expected"),
    [
        ({"kind": "regions", "crop": 4, "max_regions": 8}, None, (48, 8)),
        ({"kind": "features", "size": 2048, "max_regions": 36}, 2048, (2048, 36)),
        (GRID, 768, (768, 6)),
    ],
)
def test_feature_size_and_number_of_regions(inputs, feature_size, expected):
    model = build_model("vlt5", "vqa", SHAPE, inputs, 120, 20, 0, feature_size=feature_size)
    assert (model.config.feat_dim, model.config.max_n_boxes) == expected


def test_special_ids_of_a_given_tokenizer():
    config = build_model("blip", "vqa", SHAPE, PIXELS, 120, 20, 0, BERT).config.text_config
    assert (config.pad_token_id, config.eos_token_id, config.bos_token_id) == (0, 102, 101)
    assert config.sep_token_id == 102
    t5 = build_model("vlt5", "vqa", SHAPE, GRID, 120, 20, 0, SpecialIds(0, 1, 2, None), 12).config
    assert (t5.pad_token_id, t5.eos_token_id, t5.decoder_start_token_id) == (0, 1, 0)
