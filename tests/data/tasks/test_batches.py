from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch

from amad_bench.data.images.pixels import StoredPixels
from amad_bench.data.images.regions import PatchRegions
from amad_bench.data.tasks.batches import (
    WINDOW,
    BatchOrder,
    batch_order,
    draw_targets,
    evaluation_order,
    make_batch,
    text_batch,
    training_order,
)
from amad_bench.data.tasks.data import Answers, Split

SPLIT = Split(
    example_ids=["a", "b", "c"],
    cluster_ids=["x", "x", "y"],
    source_ids_NL=np.array([[5, 6, 1], [7, 1, 0], [8, 1, 0]]),
    target_ids_NL=np.array([[9, 1], [1, 0], [4, 1]]),
    image_rows_N=np.array([1, -1, 0]),
    references=[["A"], ["B"], ["C"]],
    groups=[{}, {}, {}],
    answer_scores=[{}, {}, {}],
    pad=0,
)
REGIONS = PatchRegions(
    ids=["0.png", "1.png"],
    features_MRF=np.array([[[0, 255], [51, 0]], [[255, 255], [0, 0]]], np.uint8),
    boxes_MR4=np.array([[[0, 0, 0.5, 0.5], [0.5, 0, 1, 1]], [[0, 0, 1, 1], [0, 0, 0, 0]]], np.float32),
    region_mask_MR=np.array([[True, True], [True, False]]),
)
PIXELS = StoredPixels(ids=["0.png", "1.png"], pixels_M3SS=np.array([0, 255], np.uint8).reshape(2, 1, 1, 1))


def test_regions():
    batch = make_batch(SPLIT, REGIONS, np.array([2, 0, 1]), "cpu")
    assert batch.inputs["input_ids"].tolist() == [[8, 1, 0], [5, 6, 1], [7, 1, 0]]
    assert batch.inputs["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1], [1, 1, 0]]
    assert batch.labels_BL.tolist() == [[4, 1], [9, 1], [1, -100]]
    features = [[[-1.0, 1.0], [-0.6, -1.0]], [[1.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]]
    torch.testing.assert_close(batch.inputs["vis_feats"], torch.tensor(features))
    assert batch.inputs["vis_attention_mask"].tolist() == [[1, 1], [1, 0], [0, 0]]
    assert batch.inputs["boxes"][0].tolist() == [[0, 0, 0.5, 0.5], [0.5, 0, 1, 1]]
    assert batch.inputs["boxes"][2].abs().sum() == 0
    whole = ("input_ids", "attention_mask", "vis_attention_mask")
    assert all(batch.inputs[name].dtype == torch.int64 for name in whole)
    assert batch.labels_BL.dtype == torch.int64
    assert batch.sample_weight_B is None
    assert batch.inputs["boxes"].dtype == batch.inputs["vis_feats"].dtype == torch.float32


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
    assert batch.inputs["input_ids"].tolist() == [[8, 1], [7, 1]]
    assert batch.labels_BL.tolist() == [[1], [1]]
    assert make_batch(long, REGIONS, np.array([2, 0]), "cpu").inputs["input_ids"].shape == (2, 4)


def test_pixels():
    batch = make_batch(SPLIT, PIXELS, np.array([2, 0, 1]), "cpu")
    assert batch.inputs["pixel_values"].flatten().tolist() == [-1.0, 1.0, 0.0]
    assert set(batch.inputs) == {"input_ids", "attention_mask", "pixel_values"}


def test_text_without_any_photo():
    table = PatchRegions(
        [], np.zeros((0, 2, 3), np.uint8), np.zeros((0, 2, 4), np.float32), np.zeros((0, 2), bool)
    )
    inputs = make_batch(SPLIT.with_image_rows(np.full(3, -1)), table, np.array([0, 1]), "cpu").inputs
    assert inputs["vis_feats"].shape == (2, 2, 3)
    assert all(inputs[name].abs().sum() == 0 for name in ("vis_feats", "boxes", "vis_attention_mask"))


def test_a_batch_leaves_the_tables_as_they_are():
    before = SPLIT.target_ids_NL.copy(), REGIONS.features_MRF.copy()
    batch = make_batch(SPLIT, REGIONS, np.array([0, 1, 2]), "cpu")
    for tensor in (*batch.inputs.values(), batch.labels_BL):
        tensor.zero_()
    assert np.array_equal(SPLIT.target_ids_NL, before[0])
    assert np.array_equal(REGIONS.features_MRF, before[1])


def test_first_and_other_images():
    assert SPLIT.first(2).example_ids == ["a", "b"]
    assert len(SPLIT.first(2).groups) == len(SPLIT.first(2).answer_scores) == 2
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


def test_an_order_goes_on_from_its_rest_and_its_generator():
    generator = np.random.default_rng(1)
    order = BatchOrder(10, 4, generator)
    order.next()
    state, rest = generator.bit_generator.state, order.rest.copy()
    expected = [order.next().tolist() for _ in range(6)]
    generator.bit_generator.state = state
    other = BatchOrder(10, 4, generator)
    other.rest = rest
    assert [other.next().tolist() for _ in range(6)] == expected


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


def of_lengths(lengths: list[int], longest: int) -> Split:
    """Example i has a source of lengths[i] ids and a target of one."""
    source = np.zeros((len(lengths), longest), np.uint16)
    for row, length in enumerate(lengths):
        source[row, :length] = 7
    names = [str(i) for i in range(len(lengths))]
    return Split(
        names,
        names,
        source,
        np.ones((len(lengths), 1), np.uint16),
        np.full(len(lengths), -1),
        [["x"]] * len(lengths),
        [{}] * len(lengths),
        [{}] * len(lengths),
        pad=0,
    )


LENGTHS = np.random.default_rng(5).integers(1, 30, 2003).tolist()
GROUPED = of_lengths(LENGTHS, 100)


def order_of(split: Split, steps: int, batch: int = 8, seed: int = 3) -> list[list[int]]:
    return [rows.tolist() for rows in training_order(split, batch, steps, np.random.default_rng(seed))]


def test_a_split_that_is_not_mostly_padding_keeps_its_order():
    plain = of_lengths(LENGTHS, 30)
    assert not plain.mostly_padding
    expected = batch_order(2003, 8, 40, np.random.default_rng(3))
    assert order_of(plain, 40) == [rows.tolist() for rows in expected]


def test_grouped_batches_are_whole_and_every_row_comes_once_before_any_comes_again():
    assert GROUPED.mostly_padding
    batches = order_of(GROUPED, 1001)
    assert {len(rows) for rows in batches} == {8}
    stream = np.concatenate(batches)
    assert len(stream) == 8008
    for epoch in range(3):  # 2003 is odd: epochs begin in the middle of batches
        assert sorted(stream[2003 * epoch : 2003 * (epoch + 1)]) == list(range(2003))
    assert stream[:2003].tolist() != stream[2003:4006].tolist()
    assert order_of(GROUPED, 5) == batches[:5]
    assert order_of(GROUPED, 5, seed=4) != batches[:5]


def test_grouping_saves_padding_and_does_not_sort_the_epoch():
    lengths = np.array(LENGTHS)

    def padded(batches: list[list[int]]) -> int:
        return sum(int((lengths[rows].max() - lengths[rows]).sum()) for rows in batches)

    shuffled = [rows.tolist() for rows in batch_order(2003, 8, 250, np.random.default_rng(3))]
    grouped = order_of(GROUPED, 250)
    assert padded(grouped) < 0.2 * padded(shuffled)
    means = [lengths[rows].mean() for rows in grouped[:WINDOW]]
    assert means != sorted(means)
    assert abs(np.mean(means) - lengths.mean()) < 1  # a window is a sample of the whole


def test_grouping_with_fewer_examples_than_a_batch():
    few = of_lengths([1, 2, 3], 20)
    batches = order_of(few, 4, batch=7)
    assert [len(rows) for rows in batches] == [7] * 4
    stream = np.concatenate(batches)
    for epoch in range(9):
        assert sorted(stream[3 * epoch : 3 * epoch + 3]) == [0, 1, 2]


def test_evaluation_order():
    assert [rows.tolist() for rows in evaluation_order(SPLIT, 2)] == [[0, 1], [2]]
    split = of_lengths([5, 1, 3, 1], 20)
    assert [rows.tolist() for rows in evaluation_order(split, 3)] == [[1, 3, 2], [0]]


def test_another_padding_id_and_small_integers():
    split = replace(SPLIT, source_ids_NL=np.array([[0, 4, 9], [1, 9, 9], [2, 9, 9]], np.uint16), pad=9)
    batch = make_batch(split, PIXELS, np.array([0, 1]), "cpu")
    assert batch.inputs["attention_mask"].tolist() == [[1, 1, 0], [1, 0, 0]]
    assert batch.inputs["input_ids"].dtype == batch.labels_BL.dtype == torch.int64


SCORED = replace(
    SPLIT,
    answers=Answers(  # question 0: [2, 1] at .9, [3, 1] at .3; question 1: none; question 2: [3, 1] at .6
        ids_AL=np.array([[2, 1], [3, 1]], np.uint16),
        offsets_N1=np.array([0, 2, 2, 3]),
        indices=np.array([0, 1, 1], np.int32),
        scores=np.array([0.9, 0.3, 0.6]),
    ),
)


def drawn(rows: list[int], seed: int = 0) -> tuple[list[list[int]], list[float]]:
    ids_BT, weight_B = draw_targets(SCORED, np.array(rows), np.random.default_rng(seed))
    return ids_BT.tolist(), [round(float(weight), 6) for weight in weight_B]


@pytest.mark.trap("vlt5-19")
def test_vqa_answers_are_drawn_in_proportion_to_their_scores():
    """3 in 4 draws should be the answer at .9 (standard deviation .0034 for 16,000 of them)."""
    ids, weights = drawn([0] * 16_000)
    assert {tuple(answer): weight for answer, weight in zip(ids, weights, strict=True)} == {
        (2, 1): 0.9,
        (3, 1): 0.3,
    }
    assert ids.count([2, 1]) / len(ids) == pytest.approx(0.75, abs=0.015)


def test_a_question_without_a_scored_answer_weighs_nothing_and_one_answer_is_always_drawn():
    assert drawn([2, 1, 2]) == ([[3, 1], [1, 0], [3, 1]], [0.6, 0.0, 0.6])


def test_draws_are_equal_for_equal_seeds():
    rows = [0] * 40
    assert drawn(rows) == drawn(rows) != drawn(rows, seed=1)
    assert SCORED.target_ids_NL.tolist() == [[9, 1], [1, 0], [4, 1]]


def test_targets_without_scores_stay_and_weigh_one():
    plain = text_batch(SPLIT, np.array([1, 0]), "cpu")
    batch = text_batch(SPLIT, np.array([1, 0]), "cpu", np.random.default_rng(0))
    assert plain.sample_weight_B is None
    assert batch.sample_weight_B.tolist() == [1.0, 1.0]
    assert torch.equal(batch.labels_BL, plain.labels_BL)
    assert {name: tensor.tolist() for name, tensor in batch.inputs.items()} == {
        name: tensor.tolist() for name, tensor in plain.inputs.items()
    }


def test_drawn_answers_have_the_length_of_the_batch_where_a_split_is_mostly_padding():
    """A drawn answer may be longer than the target that is in its place."""
    long = replace(
        SCORED,
        source_ids_NL=np.pad(SPLIT.source_ids_NL, ((0, 0), (0, 30))),
        target_ids_NL=np.array([[9, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]),
        answers=replace(SCORED.answers, ids_AL=np.array([[2, 1, 0, 0], [3, 3, 1, 0]])),
    )
    assert long.mostly_padding
    batch = text_batch(long, np.array([2, 1]), "cpu", np.random.default_rng(0))
    assert batch.labels_BL.tolist() == [[3, 3, 1], [1, -100, -100]]
    torch.testing.assert_close(batch.sample_weight_B, torch.tensor([0.6, 0.0]))


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("ragged", [False, True])
def test_shares_of_a_batch_together_are_the_batch(world, ragged):
    """Answers are drawn, and lengths made, for all of it."""
    width = 30 if ragged else 0
    split = replace(SCORED, source_ids_NL=np.pad(SPLIT.source_ids_NL, ((0, 0), (0, width))))
    assert split.mostly_padding == ragged
    rows = np.array([2, 1, 0, 2, *[0] * 12])
    generators = [np.random.default_rng(1) for _ in range(world + 1)]
    whole = text_batch(split, rows, "cpu", generators[0])
    assert {tuple(whole.labels_BL[b].tolist()) for b in range(4, 16)} == {(2, 1), (3, 1)}  # drawn anew
    for rank in range(world):
        own = slice(rank, None, world)
        share = text_batch(split, rows, "cpu", generators[1 + rank], own)
        assert {name: tensor.tolist() for name, tensor in share.inputs.items()} == {
            name: tensor[own].tolist() for name, tensor in whole.inputs.items()
        }
        assert share.labels_BL.tolist() == whole.labels_BL[own].tolist()
        assert share.sample_weight_B.tolist() == whole.sample_weight_B[own].tolist()
        assert (share.target_tokens, share.padding_share) == (whole.target_tokens, whole.padding_share)
        assert generators[1 + rank].bit_generator.state == generators[0].bit_generator.state
