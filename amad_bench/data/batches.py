"""Examples become tensors; the order of the batches is fixed by a generator."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from amad_bench.data.task_data import ImageTable, Split
from amad_bench.data.tokenizer import PAD

IGNORED = -100


def make_batch(
    split: Split, images: ImageTable, rows: np.ndarray, device: str | torch.device
) -> dict[str, Tensor]:
    """Tensors of the examples `rows` (B,) of a split.

    input_ids, attention_mask (B, L) int64; labels (B, T) int64, -100 = padding. Regions: vis_feats (B, R, F)
    and boxes (B, R, 4) float32, vis_attention_mask (B, R) int64. Pixels: pixel_values (B, 3, S, S) float32.
    Colours are scaled from 0..255 to -1..1. An example without an image has zeros and an empty mask.
    Lengths are the split's; of a split that is mostly padding, those of the batch's longest example.
    """
    rows = np.asarray(rows)
    source_ids_BL, target_ids_BT = split.source_ids_NL[rows], split.target_ids_NL[rows]
    if split.mostly_padding:
        source_ids_BL, target_ids_BT = _trimmed(source_ids_BL), _trimmed(target_ids_BT)
    input_ids_BL, labels_BT = torch.from_numpy(source_ids_BL), torch.from_numpy(target_ids_BT)
    batch = {
        "input_ids": input_ids_BL,
        "attention_mask": (input_ids_BL != PAD).long(),
        "labels": labels_BT.masked_fill(labels_BT == PAD, IGNORED),
    }
    image_rows_B = split.image_rows_N[rows]
    if images.kind == "regions":
        assert images.features_MRF is not None
        assert images.boxes_MR4 is not None
        assert images.region_mask_MR is not None
        mask_BR = torch.from_numpy(_rows_of(images.region_mask_MR, image_rows_B))
        batch["vis_feats"] = torch.from_numpy(_rows_of(images.features_MRF, image_rows_B))
        batch["boxes"] = torch.from_numpy(_rows_of(images.boxes_MR4, image_rows_B))
        batch["vis_attention_mask"] = mask_BR.long()
        colours, there = "vis_feats", mask_BR[:, :, None]
    else:
        assert images.pixels_M3SS is not None
        batch["pixel_values"] = torch.from_numpy(_rows_of(images.pixels_M3SS, image_rows_B))
        colours, there = "pixel_values", torch.from_numpy(image_rows_B >= 0)[:, None, None, None]
    batch = {name: tensor.to(device) for name, tensor in batch.items()}  # bytes travel, floats are made there
    scaled = batch[colours].float().div_(127.5).sub_(1.0)
    batch[colours] = scaled.mul_(there.to(device))
    return batch


def _trimmed(ids_BL: np.ndarray) -> np.ndarray:
    """Without the columns at the end in which every example is padded."""
    return np.ascontiguousarray(ids_BL[:, : int((ids_BL != PAD).sum(axis=1).max())])


def _rows_of(table_M: np.ndarray, rows_B: np.ndarray) -> np.ndarray:
    """table_M[rows_B], zeros for rows -1."""
    if len(table_M) == 0:
        return np.zeros((len(rows_B), *table_M.shape[1:]), table_M.dtype)
    taken = np.asarray(table_M[np.maximum(rows_B, 0)])
    taken[rows_B < 0] = 0
    return taken


def batch_order(n: int, batch: int, steps: int, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """`steps` arrays of exactly `batch` row numbers: permutations of 0..n-1, one after the other, cut evenly.

    Every row comes once before any comes again, also across batches. ValueError when there is no row.
    """
    if n < 1:
        raise ValueError("batch_order needs at least one example")
    rest = np.empty(0, np.int64)
    for _ in range(steps):
        while len(rest) < batch:
            rest = np.concatenate([rest, generator.permutation(n)])
        yield rest[:batch]
        rest = rest[batch:]
