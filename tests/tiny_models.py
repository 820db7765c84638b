"""Tiny models and batches of both families, shared by the model tests."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from amad_bench.data.text.tokenizer import SpecialIds, Tokenizer
from amad_bench.models.build import build_model
from amad_bench.plan.config.inputs import Inputs, PixelInputs, RegionInputs
from amad_bench.plan.run_config import Model, RunConfig, Seeds, Start

VOCABULARY = 40
SITES = {
    "vlt5": ["encoder.self", "decoder.self", "decoder.cross"],
    "blip-vqa": ["vision.self", "text.self", "text.cross", "decoder.self", "decoder.cross"],
    "blip-captioning": ["vision.self", "decoder.self", "decoder.cross"],
}
KINDS = tuple(SITES)


SHAPE = Model(
    layers=2,
    width=16,
    heads=4,
    head_size=4,
    feed_forward=32,
    dropout=0.0,
    options={"order_embedding": False, "box_area": "true", "token_types": "added"},
)
INPUTS: dict[str, Inputs] = {
    "vlt5": RegionInputs(kind="regions", boxes="file", crop=2, max_regions=3),
    "blip": PixelInputs(kind="pixels", size=16, patch=8),
}


START = Start(cut="none", inherit_heads=None)


class Words(NamedTuple):
    """What a model takes from a tokenizer."""

    size: int
    special: SpecialIds = SpecialIds()


def run_config(
    kind: str,
    condition: str = "none",
    *,
    pretrains: bool = False,
    seed: int = 0,
    shape: Model = SHAPE,
    inputs: Inputs | None = None,
    start: Start | None = START,
    momentum_distillation: bool = False,
) -> RunConfig:
    """What models and starts read of a run's config. kind: one of KINDS or a family."""
    family, _, task = kind.partition("-")
    return RunConfig.model_construct(
        kind="pretrain" if pretrains else "teacher",
        family=family,
        task=task or "vqa",
        pretraining=condition,
        model=shape,
        inputs=inputs or INPUTS[family],
        start=start,
        pretraining_options={"momentum_distillation": momentum_distillation},
        seeds=Seeds(data_order=0, init=seed, dropout=0, blind=0),
    )


def built(
    config: RunConfig,
    vocabulary: int = VOCABULARY,
    positions: int = 24,
    feature_size: int | None = None,
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """A fresh model for a vocabulary of that many ids, trained here."""
    return build_model(config, cast(Tokenizer, Words(vocabulary)), positions, feature_size, settings)


def shaped_model(
    kind: str,
    seed: int = 0,
    vocabulary: int = VOCABULARY,
    positions: int = 24,
    size: int = 16,
    **changes: Any,
) -> nn.Module:
    """A model of SHAPE but for `changes`; size: pixels of BLIP's images."""
    config = run_config(kind, seed=seed, shape=SHAPE.model_copy(update=changes))
    if isinstance(config.inputs, PixelInputs):
        config = config.model_copy(update={"inputs": config.inputs.model_copy(update={"size": size})})
    return built(config, vocabulary, positions)


def tiny_model(kind: str, heads: int = 4, seed: int = 0, dropout: float = 0.0) -> nn.Module:
    return shaped_model(kind, seed, heads=heads, head_size=16 // heads, dropout=dropout)


def tiny_batch(kind: str, seed: int = 0) -> dict[str, Tensor]:
    """Three examples; source and target lengths differ where the model allows padding."""
    generator = torch.Generator().manual_seed(seed)

    def ids(rows: int, columns: int) -> Tensor:
        return torch.randint(4, VOCABULARY, (rows, columns), generator=generator)

    source, labels = ids(3, 6), ids(3, 5)
    labels[:, -1] = 1
    labels[0, 3:] = -100
    labels[0, 2] = 1
    if kind == "blip-captioning":
        source = ids(1, 3).expand(3, -1).clone()  # the prompt is the same for all
    else:
        source[1, 4:] = 0
    batch: dict[str, Any] = {"input_ids": source, "attention_mask": source.ne(0).long(), "labels": labels}
    if kind == "vlt5":
        corner = torch.rand(3, 3, 2, generator=generator) / 2
        batch["vis_feats"] = torch.randn(3, 3, 12, generator=generator)
        batch["boxes"] = torch.cat([corner, corner + 0.4], dim=-1)
        batch["vis_attention_mask"] = torch.tensor([[1, 1, 1], [1, 1, 0], [0, 0, 0]])
    else:
        batch["pixel_values"] = torch.randn(3, 3, 16, 16, generator=generator)
    return batch


def without_labels(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value for name, value in batch.items() if name != "labels"}
