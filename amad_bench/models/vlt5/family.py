"""VL-T5 as all other code knows it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, cast

import numpy as np
from torch import Tensor, nn

from amad_bench.data.batch import TextMasks
from amad_bench.data.pretraining.batches import BatchMaker
from amad_bench.data.pretraining.data import PretrainingData
from amad_bench.data.pretraining.split import PretrainingSplit
from amad_bench.data.text.tokenizer import Tokenizer
from amad_bench.models.family import Blueprint, Exported, FamilyModels, Scheme
from amad_bench.models.vlt5.batches import Vlt5Batches
from amad_bench.models.vlt5.build import build_vlt5, vlt5_schemes
from amad_bench.models.vlt5.config_fields import SETTINGS, SETTINGS_IN
from amad_bench.models.vlt5.export import save_vlt5
from amad_bench.models.vlt5.model import VLT5
from amad_bench.models.vlt5.weights import official_weights, t5_weights
from amad_bench.models.weights import SettingNames, Settings, Weights
from amad_bench.plan.run_config import RunConfig
from amad_bench.runtime.errors import UserError


class Vlt5Models(FamilyModels):
    """T5 that reads a text and then regions of an image."""

    settings: ClassVar[Settings] = SETTINGS
    settings_in: ClassVar[Mapping[type, SettingNames]] = SETTINGS_IN
    may_be_fresh: ClassVar[Mapping[str, tuple[str, ...]]] = {"text": (r"^encoder\.visual_embedding\.",)}

    def build(self, wanted: Blueprint) -> nn.Module:
        return build_vlt5(wanted)

    def read_files(self, paths: Sequence[Path], config: RunConfig) -> Weights:
        if len(paths) != 1:
            raise UserError(f"{', '.join(map(str, paths))}: VL-T5 starts from one file or folder; name one")
        return (t5_weights if config.pretraining == "text" else official_weights)(paths[0])

    def schemes(
        self, model: nn.Module, path: str, module: nn.Module, parameter: nn.Parameter
    ) -> Iterator[tuple[Tensor, Scheme]]:
        return vlt5_schemes(cast(VLT5, model), path, module, parameter)

    def batch_maker(self, split: PretrainingSplit, data: PretrainingData, condition: str) -> BatchMaker:
        return Vlt5Batches(split, data, condition)

    def valid_samples(self, task: str, site: str, masks: TextMasks) -> np.ndarray:  # noqa: ARG002 (all alike)
        """The encoder reads text and regions, each attends to itself; the decoder's first target token does.

        Every text has its prompt, so that it does not matter here whether an image has regions.
        """
        text_B, target_B = (np.any(mask, axis=1) for mask in masks)
        return {"encoder.self": text_B, "decoder.self": target_B, "decoder.cross": target_B & text_B}[site]

    def save(
        self,
        model: nn.Module,
        tokenizer: Tokenizer,  # noqa: ARG002 (VL-T5 begins what it reads with no token)
        config: RunConfig,  # noqa: ARG002
        folder: Path,
    ) -> Exported:
        return save_vlt5(model, folder)
