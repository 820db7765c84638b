"""Files beside prepared arrays: tokenizer.json, and meta.json with facts and the name of the images."""

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amad_bench.data.text.tokenizer import SpecialIds, Tokenizer, load_tokenizer
from amad_bench.plan.run_config import DataSpec
from amad_bench.runtime.files import read_json

if TYPE_CHECKING:
    from amad_bench.data.images.table import ImageTable


def write_meta(
    folder: Path, data: DataSpec, images: Path, tokenizer: Tokenizer, facts: dict[str, Any], **more: Any
) -> None:
    """Writes what `read_meta` reads. images: their folder, beside this one; more: further keys."""
    tokenizer.save(folder / "tokenizer.json")
    sha256 = hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest()
    meta = {
        "images": images.name,
        "special_ids": asdict(tokenizer.special),
        **more,
        "facts": {**facts, "tokenizer_sha256": sha256},
        "config": data.prepared,
    }
    (folder / "meta.json").write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")


def read_meta(folder: Path) -> "tuple[dict[str, Any], ImageTable, Tokenizer]":
    """meta.json, and the images and the tokenizer that belong to the arrays of a prepared folder."""
    from amad_bench.data.images.prepare import load_images  # brings torch, which a report does without

    tokenizer = load_tokenizer(folder / "tokenizer.json", read_special_ids(folder))
    return read_json(folder / "meta.json"), load_images(images_folder(folder)), tokenizer


def read_special_ids(folder: Path) -> SpecialIds:
    """The ids in a prepared folder that stand for no text."""
    return SpecialIds(**read_json(folder / "meta.json")["special_ids"])


def images_folder(folder: Path) -> Path:
    """The folder of the images of a prepared folder."""
    return folder.parent / read_json(folder / "meta.json")["images"]
