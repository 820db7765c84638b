from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from amad_bench.data.batches import batch_order, make_batch
from amad_bench.data.task_data import ImageTable, Split

SPLIT = Split(
    example_ids=["a", "b", "c"],
    cluster_ids=["x", "x", "y"],
    source_ids_NL=np.array([[5, 6, 1], [7, 1, 0], [8, 1, 0]]),
    target_ids_NL=np.array([[9, 1], [1, 0], [4, 1]]),
    image_rows_N=np.array([1, -1, 0]),
    references=[["A"], ["B"], ["C"]],
)
REGIONS = ImageTable(
    ids=["0.png", "1.png"],
    kind="regions",
    features_MRF=np.array([[[0, 255], [51, 0]], [[255, 255], [0, 0]]], np.uint8),
    boxes_MR4=np.array([[[0, 0, 0.5, 0.5], [0.5, 0, 1, 1]], [[0, 0, 1, 1], [0, 0, 0, 0]]], np.float32),
    region_mask_MR=np.array([[True, True], [True, False]]),
)
PIXELS = ImageTable(
    ids=["0.png", "1.png"], kind="pixels", pixels_M3SS=np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)
)


def test_regions():
    batch = make_batch(SPLIT, REGIONS, np.array([2, 0, 1]), "cpu")
    assert batch["input_ids"].tolist() == [[8, 1, 0], [5, 6, 1], [7, 1, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [[4, 1], [9, 1], [1, -100]]
    features = [[[-1.0, 1.0], [-0.6, -1.0]], [[1.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]
    torch.testing.assert_close(batch["vis_feats"], torch.tensor(features))
    assert batch["vis_attention_mask"].tolist() == [[1, 1], [1, 0], [0, 0]]
    assert batch["boxes"][0].tolist() == [[0, 0, 0.5, 0.5], [0.5, 0, 1, 1]]
    assert batch["boxes"][2].abs().sum() == 0
    whole = ("input_ids", "attention_mask", "labels", "vis_attention_mask")
    assert all(batch[name].dtype == torch.int64 for name in whole)
    assert batch["boxes"].dtype == batch["vis_feats"].dtype == torch.float32


def test_a_split_that_is_mostly_padding_has_batches_of_their_own_lengths():
    """Ten ids in 3 x (8 + 4) places; the second and third example end after 2 and 1 of each."""
    long = replace(
        SPLIT,
        source_ids_NL=np.array(
            [[5, 6, 7, 1, 0, 0, 0, 0], [7, 1, 0, 0, 0, 0, 0, 0], [8, 1, 0, 0, 0, 0, 0, 0]]
        ),
        target_ids_NL=np.array([[9, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]),
    )
    assert long.mostly_padding
    assert not SPLIT.mostly_padding
    batch = make_batch(long, REGIONS, np.array([2, 1]), "cpu")
    assert batch["input_ids"].tolist() == [[8, 1], [7, 1]]
    assert batch["labels"].tolist() == [[1], [1]]
    assert make_batch(long, REGIONS, np.array([2, 0]), "cpu")["input_ids"].shape == (2, 4)


def test_pixels():
    batch = make_batch(SPLIT, PIXELS, np.array([2, 0, 1]), "cpu")
    assert batch["pixel_values"].flatten().tolist() == [-1.0, 1.0, 0.0]
    assert set(batch) == {"input_ids", "attention_mask", "labels", "pixel_values"}


def test_text_without_any_photo():
    table = ImageTable(
        [], "regions", np.zeros((0, 2, 3), np.uint8), np.zeros((0, 2, 4), np.float32), np.zeros((0, 2), bool)
    )
    batch = make_batch(SPLIT.with_image_rows(np.full(3, -1)), table, np.array([0, 1]), "cpu")
    assert batch["vis_feats"].shape == (2, 2, 3)
    assert (
        batch["vis_feats"].abs().sum() == batch["boxes"].abs().sum() == batch["vis_attention_mask"].sum() == 0
    )


def test_a_batch_leaves_the_tables_as_they_are():
    assert REGIONS.features_MRF is not None
    before = SPLIT.target_ids_NL.copy(), REGIONS.features_MRF.copy()
    for tensor in make_batch(SPLIT, REGIONS, np.array([0, 1, 2]), "cpu").values():
        tensor.zero_()
    assert np.array_equal(SPLIT.target_ids_NL, before[0])
    assert np.array_equal(REGIONS.features_MRF, before[1])


def test_first_and_other_images():
    assert SPLIT.first(2).example_ids == ["a", "b"]
    assert len(SPLIT.first(2)) == len(SPLIT.first(2).target_ids_NL) == len(SPLIT.first(2).references) == 2
    assert len(SPLIT.first(9)) == len(SPLIT) == 3
    assert SPLIT.with_image_rows(np.array([0, 0, 0])).image_rows_N.tolist() == [0, 0, 0]
    assert SPLIT.image_rows_N.tolist() == [1, -1, 0]


def test_every_row_comes_once_before_any_comes_again():
    batches = list(batch_order(10, 4, 10, np.random.default_rng(1)))
    assert [len(rows) for rows in batches] == [4] * 10
    stream = np.concatenate(batches)
    for epoch in range(4):
        assert sorted(stream[10 * epoch : 10 * epoch + 10]) == list(range(10))
    assert stream[:10].tolist() != stream[10:20].tolist()


def test_a_batch_may_be_longer_than_the_data():
    (rows,) = batch_order(3, 7, 1, np.random.default_rng(1))
    assert np.bincount(rows).min() >= 2


def test_order_depends_on_the_generator_only():
    def order(seed, steps):
        return [rows.tolist() for rows in islice(batch_order(50, 8, steps, np.random.default_rng(seed)), 5)]

    assert order(3, 5) == order(3, 500)
    assert order(3, 5) != order(4, 5)


def test_no_examples():
    with pytest.raises(ValueError, match="at least one"):
        next(batch_order(0, 4, 1, np.random.default_rng(0)))
