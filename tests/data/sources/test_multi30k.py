"""The join of Multi30K's lines to Flickr8k's photos."""

import pytest

from amad_bench.data.sources.multi30k import read_flickr8k_join
from amad_bench.runtime.errors import UserError

JOIN = "line_0based\tmulti30k_image\tflickr8k_image\tflickr8k_split\n"


def join(folder, content, splits):
    """Lines 0 to 5 of the image list are 1.jpg, x, x, 2.jpg, x, 3.jpg."""
    (folder / "train.tsv").write_text(content)
    (folder / "train.txt").write_text("1.jpg\nx\nx\n2.jpg\nx\n3.jpg\n")
    return read_flickr8k_join(folder / "train.tsv", folder / "train.txt", splits)


@pytest.mark.trap("data-3")
def test_a_photo_needs_an_agreeing_split(tmp_path):
    rows = "0\t1.jpg\t1_a.jpg\ttrain\n3\t2.jpg\t2_a.jpg\ttest\n5\t3.jpg\t3_a.jpg\tnone\n"
    assert join(tmp_path, JOIN + rows, ("train", "none")) == {0: "1_a.jpg", 5: "3_a.jpg"}
    assert join(tmp_path, JOIN + rows, ("test",)) == {3: "2_a.jpg"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (JOIN + "0\t1.jpg\t1_a.jpg\n", "line 2: expected line, Multi30K image"),
        (JOIN + "x\t1.jpg\t1_a.jpg\ttrain\n", "line 2: expected line, Multi30K image"),
        (
            JOIN + "0\t2.jpg\t2_a.jpg\ttest\n",
            r"line 2: 2.jpg is not the image in line 1 of .*train.txt; restore",
        ),
        (
            JOIN + "6\t3.jpg\t3_a.jpg\ttrain\n",
            r"line 2: 3.jpg is not the image in line 7 of .*train.txt; restore",
        ),
        ("", "line 1: expected the header"),
        ("0\t1.jpg\t1_a.jpg\ttrain\n", "line 1: expected the header"),
    ],
)
def test_a_broken_join(tmp_path, content, message):
    with pytest.raises(UserError, match=f"train.tsv: {message}"):
        join(tmp_path, content, ("train",))
