"""Where the shipped manifests say that each file comes from."""

import pytest

from amad_bench.data.doctor.manifests import FileFacts, read_manifest


@pytest.mark.parametrize(
    ("dataset", "path", "owner"),
    [
        ("vqa_v2", "vqa-v2/v2_mscoco_val2014_annotations.json", "https://visualqa.org"),
        ("vqa_v2", "vqa-v2/trainval_ans2label.json", "https://github.com/j-min/VL-T5"),
        ("vqa_v2", "coco/images/val2014", "https://cocodataset.org"),
        ("vqa_v2_subset", "coco-mini/images_112", "https://cocodataset.org"),
        ("coco", "coco/dataset_coco.json", "https://cs.stanford.edu/people/karpathy/"),
        ("multi30k", "multi30k/raw/train.en.gz", "https://github.com/multi30k/dataset"),
        ("multi30k", "multi30k/join_flickr8k/val.tsv", "derived, not published; `photos: none`"),
        ("multi30k", "flickr8k/images_112", "https://doi.org/10.1613/jair.3994"),
        ("multi30k", "flickr30k/images", "https://shannon.cs.illinois.edu/DenotationGraph"),
    ],
)
def test_every_file_has_its_own_owner(dataset: str, path: str, owner: str) -> None:
    assert read_manifest(dataset).facts(path).publisher.startswith(owner)


def test_nothing_is_known_where_there_is_no_manifest(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("amad_bench.runtime.paths._SOURCE_TREE", tmp_path)
    assert read_manifest("vqa_v2").facts("a") == FileFacts()
