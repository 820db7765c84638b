"""Prepared examples as a person sees them: what the model was asked, and the photo it was about."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from amad_bench.data.images.photos import Photos
from amad_bench.data.sources.examples import data_dir, photo_places, prepared_folder
from amad_bench.data.tasks.meta import images_folder, read_special_ids
from amad_bench.data.text.columns import Column
from amad_bench.data.text.tokenizer import load_tokenizer
from amad_bench.plan.run_config import DataSpec
from amad_bench.runtime.errors import UserError


@dataclass(frozen=True)
class ShownExample:
    """An example as a model read it. asked: its source text, without special tokens. image: the photo, RGB,
    as it lies in the data set; None where `no_image` says why.
    """

    asked: str
    image: Image.Image | None
    no_image: str = ""


def shown_examples(data: DataSpec, split: str, example_ids: Sequence[str]) -> dict[str, ShownExample]:
    """The examples of a test split by id, from prepared data; nothing is made that is not there.

    UserError when the data were never prepared here, or lack an example.
    """
    folder = prepared_folder(data)
    if not (folder / f"{split}.arrow").is_file():
        raise UserError(f"{folder}: no prepared data of {split}; `amad-bench data` makes them again")
    row_of = {
        example: row for row, example in enumerate(Column[str](folder / f"{split}.arrow", "example_ids"))
    }
    absent = [example for example in example_ids if example not in row_of]
    if absent:
        raise UserError(f"{folder}: no example {absent[0]} in {split}; run `amad-bench data` again")
    rows = [row_of[example] for example in example_ids]
    source_ids_NL, image_rows_N = (
        np.load(folder / f"{split}_{name}.npy", mmap_mode="r") for name in ("source_ids", "image_rows")
    )
    tokenizer = load_tokenizer(folder / "tokenizer.json", read_special_ids(folder))
    names = _image_names(folder, [int(image_rows_N[row]) for row in rows])
    with Photos(photo_places(data.dataset, data_dir(data.dataset))) as photos:
        return {
            example: ShownExample(tokenizer.decode(source_ids_NL[row]), *_photo(photos, name))
            for example, row, name in zip(example_ids, rows, names, strict=True)
        }


def _image_names(folder: Path, rows: Sequence[int]) -> list[str | None]:
    """Names of the photos in these rows of the image table; None for row -1."""
    known = Column[str](images_folder(folder) / "images.arrow", "id")
    return [known[row] if row >= 0 else None for row in rows]


def _photo(photos: Photos, name: str | None) -> tuple[Image.Image | None, str]:
    if name is None:
        return None, "this example has no image"
    try:
        return photos.open_image(name), ""
    except UserError as error:  # AMAD_DATA is elsewhere by now, or only features were published
        return None, f"image {name}: {error}"
