import gzip

import pytest

from amad_bench.data.formats.sentences import read_pairs
from amad_bench.runtime.errors import UserError


def pairs(
    folder, english="A dog.\nA cat.\n", german="Ein Hund.\nEine Katze.\n", images="1.jpg\n2.jpg\n", **options
):
    (folder / "x.en.gz").write_bytes(gzip.compress(english.encode()))
    (folder / "x.de").write_text(german, encoding="utf-8")
    (folder / "x.txt").write_text(images)
    return read_pairs(folder / "x.en.gz", folder / "x.de", folder / "x.txt", **options)


def test_lines_belong_together(tmp_path):
    _, second = pairs(tmp_path)
    assert (second.example_id, second.cluster_id, second.image) == ("1", "2.jpg", "2.jpg")
    assert (second.source, second.target, second.references) == ("A cat.", "Eine Katze.", ("Eine Katze.",))


def test_photos_come_from_the_join_where_there_is_one(tmp_path):
    first, second = pairs(tmp_path, photos={1: "2_abc.jpg"})
    assert first.image is None
    assert (second.image, second.cluster_id) == ("2_abc.jpg", "2.jpg")


def test_captions_of_one_image_share_its_cluster(tmp_path):
    """test_2017_mscoco names its images "COCO_val2014_000000398076.jpg#657409"."""
    first, second = pairs(tmp_path, images="a.jpg#1\na.jpg#2\n", photos={})
    assert first.cluster_id == second.cluster_id == "a.jpg"


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"german": "Ein Hund.\n"}, "x.de: 1 lines, but .*x.en.gz has 2"),
        ({"images": "1.jpg\n2.jpg\n3.jpg\n"}, "x.txt: 3 lines, but .*x.en.gz has 2"),
        ({"english": "A dog.\n \n"}, "x.en.gz: line 2: the sentence is empty"),
        ({"german": "\nEine Katze.\n"}, "x.de: line 1: the sentence is empty"),
        ({"images": "1.jpg\n\n"}, "x.txt: line 2: the image name is empty"),
    ],
)
def test_mistakes(tmp_path, broken, message):
    with pytest.raises(UserError, match=message):
        pairs(tmp_path, **broken)
