"""Weights for VL-T5 from elsewhere: the official checkpoints, and T5 folders of Hugging Face.

Parameter names of j-min/VL-T5 (a07d779), of Hugging Face's T5 and of our `VLT5` are the same.
"""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers.models.t5.configuration_t5 import T5Config
from transformers.models.t5.modeling_t5 import T5ForConditionalGeneration

from amad_bench.data.pretrained import loading
from amad_bench.models.config_fields import read_fields
from amad_bench.models.folders import (
    CONFIG,
    FILES,
    folder_config,
    folder_tensors,
    model_type,
    without_task_heads,
)
from amad_bench.models.vlt5.config_fields import SETTINGS_IN, T5
from amad_bench.models.weights import Weights, own_tensors, read_pickle, require_finite, require_fitting
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import refuse_lfs_pointer

_SHARED = "shared.weight"
_TIED = (
    "encoder.embed_tokens.weight",
    "decoder.embed_tokens.weight",
    "encoder.visual_embedding.obj_order_embedding.weight",
    "lm_head.weight",
)
# of the first T5 checkpoints; it was never used, and every loader since then leaves it out
_OBSOLETE = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"
_BIAS = "{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
_QUERY = "encoder.block.0.layer.0.SelfAttention.q.weight"
# (width, layers of the encoder) of the models that are known by name: their heads, each of 64 channels
_KNOWN = {(512, 6): ("t5-small", 8), (768, 12): ("t5-base", 12), (1024, 24): ("t5-large", 16)}
_T5 = "a T5 model"


def official_weights(path: Path) -> Weights:
    """An official VL-T5 checkpoint (.pth, or the same names in .npz or .safetensors), tied tensors once.

    As in the official loader, a leading "module." goes and "vis_encoder." becomes "encoder."; the one
    obsolete tensor of T5 is left out. UserError: no or a broken file, pickled code, tensors that are not
    finite, names that occur twice, tied tensors that differ, another head count than the known model of this
    shape.
    """
    reader = _READERS.get(path.suffix)
    if reader is None:
        raise UserError(f"{path}: official weights are one of {', '.join(_READERS)}; name such a file")
    if path.is_dir():
        raise UserError(f"{path}: a folder; official weights are one file, name it")
    if not path.is_file():
        raise UserError(f"{path}: no such file; put the official weights there or correct the path")
    refuse_lfs_pointer(path)
    try:
        stored = reader(path)
    except UserError:
        raise
    except Exception as error:  # of pickle, zipfile, numpy or safetensors: broken files raise almost any
        raise UserError(
            f"{path}: cannot be read as tensors by name ({type(error).__name__}); restore the file"
        ) from None
    tensors: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        current = re.sub(r"^vis_encoder\.", "encoder.", name.removeprefix("module."))
        if current in tensors:
            raise UserError(f"{path}: {current} is there twice, under old and new names; keep one of them")
        tensors[current] = tensor
    return _weights(tensors, str(path))


def t5_weights(folder: Path) -> Weights:
    """A T5 of Hugging Face (config.json, and weights as `folders` reads them), tied tensors once.

    Text pre-training only: there is no `encoder.visual_embedding`. `shared.weight` has the folder's rows
    (32128 for T5). UserError: a broken or absent file, a config.json that the weights do not agree with or
    that asks for what VL-T5 cannot be, another head count than the known T5 of this shape.
    """
    config = t5_config(folder)
    tensors, left_out = without_task_heads(folder_tensors(folder, _T5))
    weights = _weights(tensors, str(folder))
    heads, inner = weights.heads["encoder.self"], _inner(weights.tensors)
    if (config.num_heads, config.num_heads * config.d_kv) != (heads, inner):
        raise UserError(
            f"{folder}: config.json says {config.num_heads} heads of {config.d_kv} channels, the weights "
            f"have {heads} heads in {inner} channels; restore the config.json of these weights"
        )
    with torch.device("meta"):
        expected = own_tensors(T5ForConditionalGeneration(config))
    require_fitting(weights.tensors, expected, folder, "restore the config.json of these weights")
    return replace(
        weights,
        settings=SETTINGS_IN[T5Config].of(config),
        token_ids={name: getattr(config, name) for name in T5.token_ids if hasattr(config, name)},
        left_out=left_out,
    )


def t5_config(folder: Path) -> T5Config:
    """The folder's config.json; UserError when it is absent, broken, of another model or of T5 1.1."""
    raw = folder_config(folder, _T5)
    if model_type(raw) not in ("t5", None):
        raise UserError(
            f"{folder / CONFIG}: a model of type {model_type(raw)}, VL-T5 starts from t5; take a T5"
        )
    with loading(folder, _T5, FILES):
        return cast(T5Config, read_fields(folder / CONFIG, raw, T5))


def load_strictly(model: nn.Module, weights: Weights, fresh: Collection[str] = ()) -> None:
    """Copies the weights into a VLT5; parameters named in `fresh` must be absent and stay as they are.

    UserError: a missing or unexpected tensor, another head count or shape; it names the parameters.
    """
    way_out = "give the config that they were trained with"
    heads = model.config.num_heads  # pyright: ignore[reportAttributeAccessIssue]
    if any(found != heads for found in weights.heads.values()):
        raise UserError(
            f"{weights.where}: weights of {weights.heads['encoder.self']} heads, the config says {heads}; "
            f"{way_out}"
        )
    # tied ones under `shared.weight`
    own = {name: tensor for name, tensor in own_tensors(model).items() if name not in fresh}
    require_fitting(weights.tensors, own, weights.where, way_out)
    for name, tensor in weights.tensors.items():
        own[name].copy_(tensor)


def _weights(stored: Mapping[str, Tensor], where: str) -> Weights:
    tensors = {name: tensor.float() for name, tensor in stored.items() if name != _OBSOLETE}
    require_finite(tensors, where)  # first: NaN differs from itself
    tied = [name for name in (_SHARED, *_TIED) if name in tensors]
    differs = [name for name in tied[1:] if not torch.equal(tensors[name], tensors[tied[0]])]
    if differs:
        raise UserError(
            f"{where}: {', '.join(differs)} must be equal to {tied[0]}, VL-T5 ties them; take other weights"
        )
    if tied:
        tensors[_SHARED] = tensors[tied[0]]
    for name in _TIED:
        tensors.pop(name, None)
    return Weights(tensors, _heads(tensors, where), where, heads_from="the bias tables")


def _heads(tensors: Mapping[str, Tensor], where: str) -> dict[str, int]:
    """By site, from the bias tables: no other tensor of T5 shows how its channels are cut into heads."""
    tables = [_BIAS.format(stack=stack) for stack in ("encoder", "decoder")]
    missing = [name for name in (_SHARED, _QUERY, *tables) if name not in tensors or tensors[name].ndim != 2]
    if missing:
        raise UserError(f"{where}: not a T5's weights: missing {', '.join(missing)}; take other weights")
    encoder, decoder = (tensors[name].shape[1] for name in tables)
    layers = len({name.split(".")[2] for name in tensors if name.startswith("encoder.block.")})
    known, heads = _KNOWN.get((tensors[_SHARED].shape[1], layers), ("", encoder))
    if (encoder != heads and _inner(tensors) == heads * 64) or decoder != encoder:
        raise UserError(
            f"{where}: {tables[0]} has {encoder} heads and {tables[1]} {decoder}, expected {heads} in both"
            f"{f' ({known})' if known else ''}; take other weights"
        )
    return {"encoder.self": encoder, "decoder.self": decoder, "decoder.cross": decoder}


def _inner(tensors: Mapping[str, Tensor]) -> int:
    """Channels of all heads together."""
    return tensors[_QUERY].shape[0]


def _read_npz(path: Path) -> dict[str, Tensor]:
    # opened here: numpy leaves a broken file open
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


_READERS: dict[str, Callable[[Path], dict[str, Tensor]]] = {
    ".pth": read_pickle,
    ".npz": _read_npz,
    ".safetensors": load_file,
}
