"""Folders as transformers saves models: config.json, and weights in one file or in several (shards)."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

from safetensors.torch import load_file
from torch import Tensor

from amad_bench.data.pretrained import loading
from amad_bench.models.weights import Colours, listed, read_pickle, require_finite
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.files import read_json, refuse_lfs_pointer

CONFIG = "config.json"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the first that is there is read, alone or in shards
FILES = (CONFIG, *WEIGHTS)
INDEX = ".index.json"
PREPROCESSOR = "preprocessor_config.json"
_COLOUR_KEYS = ("image_mean", "image_std")
# A class of `architectures`, for a config.json that does not say `model_type`: its first letters do.
_CLASS = re.compile(r"(Bert|ViT|T5|Blip)(?:Model|For\w+|LMHeadModel|WithLMHeadModel)")
# What follows a model: poolers, and heads of the task that it was trained for.
_TASK_HEADS = re.compile(
    r"(^|\.)(pooler|classifier|qa_outputs)\.|seq_relationship|^decoder\.\d|\.mask_token$"
)


def folder_config(folder: Path, what: str) -> dict[str, Any]:
    """config.json; UserError when it is absent or no mapping. what: the thing that the folder should hold."""
    with loading(folder, what, FILES):
        config = read_json(folder / CONFIG)
    if not isinstance(config, dict):
        raise UserError(f"{folder / CONFIG}: not the config of {what}; restore it")
    return config


def model_type(config: Mapping[str, Any]) -> str | None:
    """Type of model by `model_type` or, where that says nothing, by the class of `architectures`.

    The class itself where it is none of those that are read here; None: neither is stated.
    """
    stated, classes = config.get("model_type"), config.get("architectures")
    if stated is None and isinstance(classes, list) and classes and isinstance(classes[0], str):
        known = _CLASS.fullmatch(classes[0])
        return known[1].lower() if known else classes[0]
    return stated


def folder_tensors(folder: Path, what: str) -> dict[str, Tensor]:
    """Every tensor of the folder's weights, in float32; nothing but tensors is unpickled.

    UserError: no weights, a damaged or missing file, an index that names what a shard does not have, NaN.
    """
    with loading(folder, what, _weight_files(folder) or FILES):
        stored = _stored(folder)
        whole = [name for name, tensor in stored.items() if not tensor.is_floating_point()]
        if quantised := [name for name in whole if not name.endswith(".position_ids")]:
            raise UserError(
                f"{folder}: {listed(quantised)}: whole numbers, as of quantised weights; take plain ones"
            )
        tensors = {name: tensor.float() for name, tensor in stored.items()}
    require_finite(tensors, folder)
    return tensors


def without_task_heads(stored: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors but for poolers and heads of tasks, and the names of these."""
    left_out = sorted(name for name in stored if _TASK_HEADS.search(name))
    return {name: tensor for name, tensor in stored.items() if name not in left_out}, left_out


def folder_colours(folder: Path) -> Colours | None:
    """Mean and spread of red, green and blue by preprocessor_config.json; None where it does not say."""
    if not (folder / PREPROCESSOR).is_file():
        return None
    content = read_json(folder / PREPROCESSOR)
    if not isinstance(content, dict) or content.get("do_normalize") is False:
        return None
    mean, spread = (content.get(key) for key in _COLOUR_KEYS)
    return (mean, spread) if _are_colours(mean) and _are_colours(spread) else None


def _are_colours(value: Any) -> TypeGuard[list[float]]:
    return isinstance(value, list) and len(value) == 3 and all(isinstance(one, int | float) for one in value)


def _weight_files(folder: Path) -> list[str]:
    """The names of what `folder_tensors` reads first: a file with all weights, or an index of shards."""
    names = [name + suffix for name in WEIGHTS for suffix in ("", INDEX)]
    return [name for name in names if (folder / name).exists()][:1]


def _stored(folder: Path) -> dict[str, Tensor]:
    found = _weight_files(folder)
    if not found:
        raise UserError(
            f"{folder}: no weights; expected {' or '.join(WEIGHTS)}, or their shards with a {INDEX} file: "
            "add them"
        )
    path = folder / found[0]
    if not path.name.endswith(INDEX):
        return _read(path)
    index = read_json(path)
    places = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(places, dict) or not places or not all(map(_is_name, places.values())):
        raise UserError(f"{path}: no weight_map from tensors to files of this folder; restore it")
    shards = {file: folder / file for file in places.values()}
    if absent := [file for file, shard in shards.items() if not shard.is_file()]:
        raise UserError(f"{folder}: {listed(sorted(absent))} of {path.name} not there; add what is missing")
    tensors: dict[str, Tensor] = {}
    for file, shard in shards.items():
        tensors |= {name: tensor for name, tensor in _read(shard).items() if places.get(name) == file}
    if lost := sorted(set(places) - set(tensors)):
        raise UserError(f"{path}: {listed(lost)} not in the file it names; restore the folder")
    return tensors


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value == Path(value).name


def _read(path: Path) -> dict[str, Tensor]:
    refuse_lfs_pointer(path)
    return load_file(path) if path.suffix == ".safetensors" else read_pickle(path)
