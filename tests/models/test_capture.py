"""Which stacks are found in the many classes that transformers has for one architecture."""

import pytest
from transformers.models.bert.modeling_bert import BertForMaskedLM
from transformers.models.blip.modeling_blip import (
    BlipForConditionalGeneration,
    BlipForImageTextRetrieval,
    BlipVisionModel,
)
from transformers.models.blip.modeling_blip_text import BlipTextModel
from transformers.models.clip.configuration_clip import CLIPVisionConfig
from transformers.models.clip.modeling_clip import CLIPVisionModel
from transformers.models.t5.modeling_t5 import T5EncoderModel
from transformers.models.vit.modeling_vit import ViTForImageClassification

from amad_bench.models.capture import find_stacks
from tests.models.plain_models import plain_model

CLASSES = (
    (T5EncoderModel, "t5", "", {"encoder": {"self"}}),
    (BertForMaskedLM, "bert", "", {"encoder": {"self"}}),
    (ViTForImageClassification, "vit", "", {"vision": {"self"}}),
    (BlipVisionModel, "blip", "vision_config", {"vision": {"self"}}),
    (BlipTextModel, "blip", "text_config", {"encoder": {"self", "cross"}}),
    (BlipForConditionalGeneration, "blip", "", {"vision": {"self"}, "decoder": {"self", "cross"}}),
    (BlipForImageTextRetrieval, "blip", "", {"vision": {"self"}, "text": {"self", "cross"}}),
)


@pytest.mark.parametrize(("model_class", "kind", "part", "expected"), CLASSES)
def test_stacks_of_a_class(model_class, kind, part, expected):
    config = plain_model(kind).config
    stacks = find_stacks(model_class(getattr(config, part) if part else config))
    assert {stack: set(blocks[0].attention) for stack, blocks in stacks.items()} == expected
    assert all(len(blocks) == 2 for blocks in stacks.values())


def test_an_attention_of_another_architecture_is_not_taken_for_a_known_one():
    """CLIP's has the projections of ViT's under the same names, and the path of BLIP's."""
    sizes = {"hidden_size": 12, "intermediate_size": 20, "num_hidden_layers": 1, "num_attention_heads": 3}
    assert find_stacks(CLIPVisionModel(CLIPVisionConfig(image_size=16, patch_size=8, **sizes))) == {}
