"""Heads of another number, by hand."""

import pytest

from amad_bench.models.head_channels import head_map


@pytest.mark.trap("heads-7")
def test_head_maps_by_hand():
    assert head_map(8, 2, cut="inherit") == [[0], [1]]
    assert head_map(8, 2, cut="inherit", inherit_heads="spread") == [[0], [4]]
    # 12 -> 8: floor(1.5 g)
    spread = head_map(12, 8, cut="inherit", inherit_heads="spread")
    assert spread == [[0], [1], [3], [4], [6], [7], [9], [10]]
    assert head_map(4, 2, cut="remap") == [[0, 1], [2, 3]]
    assert head_map(2, 4, cut="remap") == [[0], [0], [1], [1]]
    assert head_map(3, 2, cut="remap") == [[0, 1], [1, 2]]
    with pytest.raises(ValueError, match="'first': 4 heads cannot be taken from 2"):
        head_map(2, 4, cut="inherit")
    with pytest.raises(ValueError, match="'last': 2 heads cannot be taken from 4"):
        head_map(4, 2, cut="inherit", inherit_heads="last")
