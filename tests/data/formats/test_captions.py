import json

import pytest

from amad_bench.data.formats.captions import read_coco_captions, read_flickr8k
from amad_bench.runtime.errors import UserError

IMAGES = [{"id": 7, "file_name": "7.png"}, {"id": 3, "file_name": "3.png"}]
CAPTIONS = [
    {"id": 1, "image_id": 3, "caption": "a dog "},
    {"id": 2, "image_id": 7, "caption": "a cat"},
    {"id": 3, "image_id": 3, "caption": "the dog"},
]


def coco(folder, images=IMAGES, captions=CAPTIONS):
    (folder / "captions.json").write_text(json.dumps({"images": images, "annotations": captions}))
    return read_coco_captions(folder / "captions.json")


def test_coco(tmp_path):
    seven, three = coco(tmp_path)
    assert (seven.example_id, seven.image, seven.references) == ("7", "7.png", ("a cat",))
    assert (three.cluster_id, three.target, three.references) == ("3", "a dog", ("a dog", "the dog"))


def test_targets_are_of_all_wordings_and_do_not_depend_on_the_other_images(tmp_path):
    images = [{"id": number, "file_name": f"{number}.png"} for number in range(200)]
    captions = [
        {"id": 10 * image["id"] + wording, "image_id": image["id"], "caption": f"wording {wording}"}
        for image in images
        for wording in range(5)
    ]
    targets = [example.target for example in coco(tmp_path, images, captions)]
    assert all(20 < targets.count(f"wording {wording}") < 60 for wording in range(5))
    assert [example.target for example in coco(tmp_path, images[7:], captions[35:])] == targets[7:]


def test_images_without_captions_may_be_left_out(tmp_path):
    coco(tmp_path)
    path = tmp_path / "captions.json"
    path.write_text(
        json.dumps({"images": [*IMAGES, {"id": 1, "file_name": "1.png"}], "annotations": CAPTIONS})
    )
    assert [example.example_id for example in read_coco_captions(path, captioned_only=True)] == ["7", "3"]


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"images": [*IMAGES, IMAGES[0]]}, "image id 7 is there twice"),
        ({"images": [{"id": 7}]}, "image id 7: key 'file_name' is missing"),
        ({"captions": CAPTIONS[:1]}, "image id 7: no caption for image 7.png"),
        (
            {"captions": [*CAPTIONS, {"id": 4, "image_id": 9, "caption": "x"}]},
            "caption id 4: image 9 is not among",
        ),
        ({"captions": [{"id": 5, "image_id": 3, "caption": " "}]}, "caption id 5: caption is empty"),
        ({"captions": [{"image_id": 3}]}, r"caption id \(record 0\): key 'caption' is missing"),
    ],
)
def test_coco_mistakes(tmp_path, broken, message):
    with pytest.raises(UserError, match=f"captions.json: {message}"):
        coco(tmp_path, **broken)


def flickr(folder, tokens, images=b"b.jpg\n"):
    (folder / "tokens.txt").write_bytes(tokens)
    (folder / "images.txt").write_bytes(images)
    return read_flickr8k(folder / "tokens.txt", folder / "images.txt")


def test_flickr8k(tmp_path):
    tokens = "a.jpg#0\tA cat .\nb.jpg#0\tA dog .\nb.jpg#1\tThe dog ’s ball .\nc.jpg.1#0\tNobody\n"
    (example,) = flickr(tmp_path, tokens.encode())
    assert (example.example_id, example.image) == ("b.jpg", "b.jpg")
    assert example.references == ("A dog .", "The dog ’s ball .")


@pytest.mark.parametrize(
    ("tokens", "images", "message"),
    [
        (b"b.jpg A dog\n", b"b.jpg\n", "tokens.txt: line 1: expected 'image.jpg#n TAB caption'"),
        (b"b.jpg#0\tx\nb.jpg#1\t \n", b"b.jpg\n", "tokens.txt: line 2: the caption of b.jpg#1 is empty"),
        (b"b.jpg#0\tx\n", b"a.jpg\n", "images.txt: line 1: no caption for image a.jpg"),
        (b"b.jpg#0\tx\n", b"b.jpg\nb.jpg\n", "images.txt: line 2: b.jpg is there twice"),
        (b"b.jpg#0\tx\n", b"\n", "images.txt: line 1: the image name is empty"),
        (b"b.jpg#0\tx\nb.jpg#1\tgr\xfcn\n", b"b.jpg\n", r"tokens.txt: line 2 is not UTF-8 \(byte 10\)"),
    ],
)
def test_flickr8k_mistakes(tmp_path, tokens, images, message):
    with pytest.raises(UserError, match=message):
        flickr(tmp_path, tokens, images)
