"""BLIP as all other code knows it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch import Tensor, nn

from amad_bench.data.batch import TextMasks
from amad_bench.data.pretraining.batches import BatchMaker
from amad_bench.data.pretraining.data import PretrainingData
from amad_bench.data.pretraining.split import PretrainingSplit
from amad_bench.data.text.tokenizer import Tokenizer
from amad_bench.models.blip.batches import BlipBatches
from amad_bench.models.blip.build import blip_schemes, build_blip
from amad_bench.models.blip.config_fields import SETTINGS, SETTINGS_IN
from amad_bench.models.blip.export import save_blip
from amad_bench.models.blip.weights import POSITIONS, blip_weights, with_position_grid, without_image_keys
from amad_bench.models.family import Blueprint, Exported, FamilyModels, Scheme
from amad_bench.models.weights import SettingNames, Settings, Weights, own_tensors
from amad_bench.plan.catalogue.families import BLIP as RECORD
from amad_bench.plan.run_config import RunConfig


class BlipModels(FamilyModels):
    """A ViT, and BERT as a text encoder and decoder that attend to it."""

    settings: ClassVar[Settings] = SETTINGS
    settings_in: ClassVar[Mapping[type, SettingNames]] = SETTINGS_IN
    # a side that sees, and BERT's LM head
    may_be_fresh: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "text": (r"^vision_model\.", r"\.crossattention\.", r"^text_decoder\.cls\.")
    }
    may_be_left: ClassVar[tuple[str, ...]] = ("text_encoder",)  # the captioner has none

    def build(self, wanted: Blueprint) -> nn.Module:
        return build_blip(wanted)

    def read_files(self, paths: Sequence[Path], config: RunConfig) -> Weights:
        token_types = str(config.model.options["token_types"])
        return blip_weights(paths, config.task, config.pretraining, token_types)

    def schemes(
        self, model: nn.Module, path: str, module: nn.Module, parameter: nn.Parameter
    ) -> Iterator[tuple[Tensor, Scheme]]:
        return blip_schemes(model, path, module, parameter)

    def batch_maker(self, split: PretrainingSplit, data: PretrainingData, condition: str) -> BatchMaker:
        return BlipBatches(split, data, condition)

    def valid_samples(self, task: str, site: str, masks: TextMasks) -> np.ndarray:
        """An image has no padding. The decoder reads BOS, a prompt that the target continues, and the target
        but its last token; it writes the token behind each: a place counts where both are real.
        """
        target_BT, text_B = masks.target_BT, np.any(masks.input_BL, axis=1)
        if site == "vision.self":
            return np.ones(len(target_BT), bool)
        if site in ("text.self", "text.cross"):
            return text_B
        prompted = RECORD.by_task[task].continued and masks.input_BL.shape[1] > 0
        read_BT = np.concatenate([np.ones_like(target_BT[:, :1]), target_BT[:, :-1]], axis=1)
        decodes_B = np.any(read_BT & target_BT, axis=1) | prompted
        attends_to_text = site == "decoder.cross" and not RECORD.by_task[task].continued
        return decodes_B & text_B if attends_to_text else decodes_B

    def save(self, model: nn.Module, tokenizer: Tokenizer, config: RunConfig, folder: Path) -> Exported:
        return save_blip(model, tokenizer, config, folder)

    def fitted(self, weights: Weights, model: nn.Module) -> Weights:
        """With ViT's positions interpolated to the number of the model's patches."""
        return with_position_grid(weights, own_tensors(model)[POSITIONS].shape[1] - 1)

    def kept(self, weights: Weights, model: nn.Module) -> Weights:
        """Without an answer decoder's keys and values of images of another width."""
        return without_image_keys(weights, model)
