import pytest
import torch
from torch import Tensor

from amad_bench.data.batch import Batch, PretrainingBatch

IDS_BL = torch.tensor([[5, 6, 1], [7, 1, 0], [8, 1, 0]])
MASK_BL = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 1, 0]])
LABELS_BL = torch.tensor([[9, 1], [1, -100], [4, 1]])
BATCH = Batch({"input_ids": IDS_BL, "attention_mask": MASK_BL}, LABELS_BL, torch.tensor([0.9, 0.3, 0.6]))


def test_totals():
    """Sources 3, 2, 2 of 3 ids, targets 2, 1, 2 of 2: 12 of 15 are no padding."""
    assert len(BATCH) == 3
    assert BATCH.target_BL.tolist() == [[True, True], [True, False], [True, True]]
    assert BATCH.target_tokens == 5
    assert BATCH.padding_share == pytest.approx(3 / 15)


def test_the_first_examples():
    few = BATCH.first(2)
    assert len(few) == 2
    assert {name: tensor.tolist() for name, tensor in few.inputs.items()} == {
        "input_ids": [[5, 6, 1], [7, 1, 0]],
        "attention_mask": [[1, 1, 1], [1, 1, 0]],
    }
    assert few.labels_BL.tolist() == [[9, 1], [1, -100]]
    torch.testing.assert_close(few.sample_weight_B, torch.tensor([0.9, 0.3]))
    assert Batch(BATCH.inputs, LABELS_BL).first(2).sample_weight_B is None


def test_images_come_to_the_text():
    pixels_B3SS = torch.zeros(3, 3, 2, 2)
    whole = BATCH.with_images({"pixel_values": pixels_B3SS})
    assert whole.inputs == {**BATCH.inputs, "pixel_values": pixels_B3SS}
    assert (whole.labels_BL, whole.sample_weight_B) == (BATCH.labels_BL, BATCH.sample_weight_B)
    assert "pixel_values" not in BATCH.inputs


def instances(image_ids: list[int]) -> PretrainingBatch:
    numbers_B = torch.arange(len(image_ids))
    return PretrainingBatch({"input_ids": numbers_B[:, None], "image_ids": torch.tensor(image_ids)})


@pytest.mark.parametrize(("image_ids", "order"), [([4, 4, 4, 7, 9], [0, 3, 1, 2, 4]), ([4, 7, 4], [0, 1, 2])])
def test_two_images_come_first(image_ids: list[int], order: list[int]):
    batch = instances(image_ids)
    assert len(batch) == len(image_ids)
    arguments = batch.two_images_first().arguments
    assert arguments["input_ids"].flatten().tolist() == order
    assert arguments["image_ids"].tolist() == [image_ids[row] for row in order]


def test_instances_without_a_contrast_stay():
    arguments: dict[str, Tensor] = {"input_ids": IDS_BL, "labels": LABELS_BL}
    assert PretrainingBatch(arguments).two_images_first().arguments is arguments
