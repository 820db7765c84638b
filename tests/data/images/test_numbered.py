import pytest

from amad_bench.data.images.numbered import NumberedPhotos
from amad_bench.runtime.errors import UserError


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("COCO_test2015_000000262144.jpg", 262144),
        ("000000000001.png", 1),
        ("image12.jpg", 12),
        ("12-small.jpeg", 12),
        ("2015.v2.jpg", 2),
    ],
)
def test_a_photo_is_found_by_the_last_number_of_its_name(name, number):
    assert (
        NumberedPhotos([name, "cover.jpg", "x900.jpg"], "photos").name(number, "q.json: question_id 1")
        == name
    )


def test_none_and_two_are_one_line():
    photos = NumberedPhotos(["a_01.jpg", "b_1.jpg", "c.jpg"], "photos")
    with pytest.raises(UserError, match=r"^q: one photo in photos must have 2 as its .* number, none has"):
        photos.name(2, "q")
    with pytest.raises(UserError, match=r"^q: .* have 1 as its .*, a_01\.jpg and b_1\.jpg have; add or move"):
        photos.name(1, "q")
