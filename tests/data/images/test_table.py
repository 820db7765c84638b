import pickle

import numpy as np
import pytest
import torch

from amad_bench.data.images.pixels import StoredPixels
from amad_bench.data.images.table import mapped, rows_of
from tests.data.tasks.test_loader import KINDS, table_of


@pytest.mark.parametrize("kind", KINDS)
def test_a_pickled_table_gives_the_same(kind, tmp_path):
    table = table_of(kind, tmp_path)
    rows = np.array([3, -1, 8, 3])
    expected = table.batch(rows, "cpu")
    copy = pickle.loads(pickle.dumps(table))
    assert all(torch.equal(tensor, expected[name]) for name, tensor in copy.batch(rows, "cpu").items())


def test_a_memory_map_is_pickled_by_its_path(tmp_path):
    np.save(tmp_path / "pixels.npy", np.zeros((50, 3, 32, 32), np.uint8))
    data = pickle.dumps(StoredPixels(["x"] * 50, mapped(tmp_path / "pixels.npy")))
    assert len(data) < 2000
    assert isinstance(pickle.loads(data).pixels_M3SS, np.memmap)


def test_no_image_is_zeros_and_the_table_stays_as_it_is() -> None:
    table = np.arange(1, 7).reshape(3, 2)
    assert rows_of(table, np.array([2, -1, 0])).tolist() == [[5, 6], [0, 0], [1, 2]]
    assert table.tolist() == [[1, 2], [3, 4], [5, 6]]
    assert rows_of(table[:0], np.array([-1])).tolist() == [[0, 0]]
