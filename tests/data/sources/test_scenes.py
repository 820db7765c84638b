import io
import json
import tarfile

import numpy as np
import pytest
from PIL import Image

from amad_bench.data.scenes.scene import make_scene
from amad_bench.data.sources.examples import read_examples, write_dataset
from amad_bench.plan.catalogue import SPLITS
from tests.planned import planned_dataset

COUNTS = {"train": 40, "validation": 8, "test": 12}


def test_equal_options_give_equal_bytes_and_another_seed_does_not(tmp_path):
    options = {"train_images": 3, "validation_images": 1, "test_images": 1, "seed": 4}
    written = []
    for name, seed in (("one", 4), ("two", 4), ("three", 5)):
        (tmp_path / name).mkdir()
        write_dataset(planned_dataset("scenes", **options | {"seed": seed}), tmp_path / name)
        files = sorted(path for path in (tmp_path / name).rglob("*") if path.is_file())
        written.append({str(path.relative_to(tmp_path / name)): path.read_bytes() for path in files})
    assert written[0] == written[1]
    assert {file for file in written[0] if written[0][file] != written[2][file]} > {
        "images_train.tar",
        "boxes.json",
    }


@pytest.mark.parametrize("split", SPLITS)
def test_vqa_v2_layout(scenes_folder, split):
    questions = json.loads((scenes_folder / f"questions_{split}.json").read_text())
    annotations = json.loads((scenes_folder / f"annotations_{split}.json").read_text())
    assert {"info", "task_type", "data_type", "data_subtype", "license", "questions"} == set(questions)
    assert {"info", "data_type", "data_subtype", "license", "annotations"} == set(annotations)
    assert len(questions["questions"]) == len(annotations["annotations"]) == 4 * COUNTS[split]
    for record in questions["questions"]:
        assert set(record) == {"image_id", "question", "question_id"}
    for record in annotations["annotations"]:
        keys = "question_type multiple_choice_answer answers image_id answer_type question_id"
        assert set(record) == set(keys.split())
        assert [answer["answer_id"] for answer in record["answers"]] == list(range(1, 11))
        assert set(record["answers"][0]) == {"answer", "answer_confidence", "answer_id"}
        assert record["answer_type"] in ("yes/no", "number", "other")


@pytest.mark.parametrize("split", SPLITS)
def test_coco_layout(scenes_folder, split):
    captions = json.loads((scenes_folder / f"captions_{split}.json").read_text())
    assert set(captions) == {"info", "images", "licenses", "annotations"}
    assert set(captions["images"][0]) == {"id", "file_name", "height", "width"}
    assert len(captions["annotations"]) == 5 * len(captions["images"]) == 5 * COUNTS[split]
    assert len({record["id"] for record in captions["annotations"]}) == 5 * COUNTS[split]


def test_multi30k_layout_in_utf8(scenes_folder):
    texts = scenes_folder / "translation"
    german = (texts / "train.de").read_bytes().decode("utf-8").splitlines()
    assert len(german) == len((texts / "train.en").read_text().splitlines()) == 80
    assert len((texts / "train_images.txt").read_text().splitlines()) == 80
    assert any("ß" in line for line in german)


def test_archive_holds_the_scenes_and_the_splits_share_no_image(scenes_folder):
    names = {}
    for split in SPLITS:
        with tarfile.open(scenes_folder / f"images_{split}.tar", "r:") as archive:
            names[split] = set(archive.getnames())
            assert len(names[split]) == COUNTS[split]
            file = archive.extractfile(sorted(names[split])[2])
            assert file is not None
            image = np.asarray(Image.open(io.BytesIO(file.read())))
        assert np.array_equal(image, make_scene(0, split, 2).image_SS3)
    assert len(set.union(*names.values())) == sum(COUNTS.values())


@pytest.mark.parametrize(("task", "each"), [("vqa", 4), ("captioning", 1), ("translation", 2)])
def test_the_loaders_of_the_real_data_sets_read_it(scenes_folder, task, each):
    sources = read_examples(planned_dataset("scenes"), task, scenes_folder)
    assert {split: len(source.examples) for split, source in sources.items()} == {
        split: each * count for split, count in COUNTS.items()
    }
