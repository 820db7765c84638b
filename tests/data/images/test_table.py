import pickle

import numpy as np
import pytest
import torch

from amad_bench.data.images.pixels import StoredPixels
from amad_bench.data.images.table import mapped
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
