import gzip
import hashlib
import io
import json
import multiprocessing
import shutil
import tarfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from amad_bench.data.images.pixels import StoredPixels
from amad_bench.data.images.regions import PatchRegions
from amad_bench.data.prepare import prepare
from amad_bench.data.scenes.scene import make_scene
from amad_bench.data.sources.examples import data_dir
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.data.text.columns import Column
from amad_bench.data.text.tokenizer import SpecialIds
from amad_bench.runtime.errors import UserError
from tests.data.folders import bert_folder
from tests.data.official_tree import edit_json, write_official
from tests.planned import REGIONS, planned_config

TASKS = [
    ("vlt5", "vqa"),
    ("vlt5", "captioning"),
    ("vlt5", "translation"),
    ("blip", "vqa"),
    ("blip", "captioning"),
]
DATA = data_dir(planned_config("vlt5", "vqa").dataset)  # of the small scenes
EOS, BOS = 1, 3


@pytest.mark.trap("data-8")
@pytest.mark.trap("blip-2")
@pytest.mark.parametrize(("family", "task"), TASKS)
def test_examples_come_back_as_text(scenes_config, family, task):
    data = load_task_data(scenes_config(family, task))
    decode = data.tokenizer.decode
    for split in (data.train, data.validation, data.test):
        assert len(split) == len(split.cluster_ids) == len(split.references) == len(split.image_rows_N)
        assert split.source_ids_NL.dtype == split.target_ids_NL.dtype == np.uint16
        assert len(split.groups) == len(split.answer_scores) == len(split)
        assert len(set(split.example_ids)) == len(split)
    lengths = {
        (split.source_ids_NL.shape[1], split.target_ids_NL.shape[1]) for split in (data.train, data.test)
    }
    assert len(lengths) == 1
    if (family, task) == ("blip", "vqa"):
        assert set(data.test.source_ids_NL[:, 0].tolist()) == {BOS}
        assert (data.test.source_ids_NL == BOS).sum() == len(data.test)
    prefix = {"vlt5vqa": "vqa: ", "vlt5translation": "translate English to German: ", "blipvqa": ""}
    if task == "captioning":
        expected = "caption:" if family == "vlt5" else "a picture of"
        assert {decode(ids) for ids in data.test.source_ids_NL} == {expected}
    else:
        assert all(decode(ids).startswith(prefix[family + task]) for ids in data.test.source_ids_NL)
    for split in (data.train, data.test):
        for ids, references in zip(split.target_ids_NL, split.references, strict=True):
            assert decode(ids) in references


def test_eos_ends_every_source_but_blips_prompt_and_every_target(scenes_config):
    for family, task in TASKS:
        test = load_task_data(scenes_config(family, task)).test
        with_eos = (test.source_ids_NL == EOS).sum(axis=1)
        assert set(with_eos.tolist()) == ({0} if (family, task) == ("blip", "captioning") else {1})
        last = test.target_ids_NL[np.arange(len(test)), (test.target_ids_NL != 0).sum(axis=1) - 1]
        assert set(last.tolist()) == {EOS}


def test_known_question(scenes_config, scenes_folder):
    data = load_task_data(scenes_config("blip", "vqa"))
    record = json.loads((scenes_folder / "questions_test.json").read_text())["questions"][5]
    answers = json.loads((scenes_folder / "annotations_test.json").read_text())["annotations"][5]
    row = data.test.example_ids.index(str(record["question_id"]))
    assert data.tokenizer.decode(data.test.source_ids_NL[row]) == record["question"]
    assert data.test.references[row] == [answer["answer"] for answer in answers["answers"]]
    assert data.test.cluster_ids[row] == str(record["image_id"])
    assert data.images.ids[data.test.image_rows_N[row]] == f"{record['image_id']:012d}.png"
    assert isinstance(data.images, StoredPixels)
    image = data.images.pixels_M3SS[data.test.image_rows_N[row]]
    assert np.array_equal(image.transpose(1, 2, 0), make_scene(0, "test", 1).image_SS3)


def test_captioning_trains_on_each_caption_and_is_scored_per_image(scenes_config):
    data = load_task_data(scenes_config("vlt5", "captioning"))
    assert (len(data.train), len(data.test)) == (5 * 40, 12)
    assert len(data.test.references[0]) == 5
    assert len(data.train.references[0]) == 1
    assert [name.split("#")[1] for name in data.train.example_ids[:5]] == list("01234")
    assert len(set(data.train.cluster_ids[:5])) == 1
    chosen = [
        references.index(data.tokenizer.decode(ids))
        for ids, references in zip(data.test.target_ids_NL, data.test.references, strict=True)
    ]
    assert len(set(chosen)) > 1  # validation must not know one wording only


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_preparing_again_changes_nothing_and_from_scratch_gives_equal_bytes(scenes_config):
    config = scenes_config("vlt5", "translation")
    folder = prepare(config)
    first = contents(DATA)
    stamp = (folder / "train.arrow").stat().st_mtime_ns
    assert prepare(config) == folder
    assert (folder / "train.arrow").stat().st_mtime_ns == stamp
    shutil.rmtree("results")
    prepare(config)
    assert contents(DATA) == first


def test_what_a_killed_process_made_of_the_images_goes(scenes_config):
    """Of another data set's images, of texts: that may be being made just now."""
    config = scenes_config("vlt5", "vqa")
    prepare(config)
    (images,) = DATA.rglob("images-*")
    shutil.rmtree(images)
    killed, other = (images.with_name(f".{name}.0.tmp") for name in (images.name, "images-other"))
    for folder in (killed, other):
        folder.mkdir()
    (prepared,) = [path for path in images.parent.iterdir() if path not in (killed, other)]
    shutil.rmtree(prepared)
    prepare(config)
    assert images.is_dir()
    assert not killed.exists()
    assert other.exists()


def test_another_input_vocabulary_or_limit_is_another_folder(scenes_config):
    config = scenes_config("vlt5", "vqa")
    others = [
        config,
        scenes_config("vlt5", "vqa", inputs={**REGIONS, "crop": 4}),
        scenes_config("vlt5", "vqa", vocabulary=140),
        scenes_config("vlt5", "vqa", {"train": 5, "validation": 5, "test": 5}),
    ]
    assert len({prepare(other) for other in others}) == 4


def test_two_processes_at_once(scenes_config):
    config = scenes_config("vlt5", "vqa")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        one, two = pool.map(prepare, [config, config])
    assert one == two
    assert len(load_task_data(config).train) == 160
    assert not [path for path in DATA.parent.rglob("*") if path.name.endswith(".tmp")]


def damaged(scenes_folder: Path, split: str, name: str, content: bytes | None) -> None:
    """The scenes folder as it would be after `name` was dropped from, or replaced in, a split's archive."""
    shutil.copytree(scenes_folder, DATA)
    path = DATA / f"images_{split}.tar"
    with tarfile.open(scenes_folder / f"images_{split}.tar") as source, tarfile.open(path, "w") as target:
        for member in source.getmembers():
            file = source.extractfile(member)
            assert file is not None
            data = file.read()
            if member.name == name:
                if content is None:
                    continue
                data = content
                member.size = len(data)
            target.addfile(member, io.BytesIO(data))


IMAGE = "000010000007.png"


def test_a_question_without_its_image(scenes_config, scenes_folder):
    damaged(scenes_folder, "train", IMAGE, None)
    record = r"questions_train\.json: question_id 10000007\d"
    message = rf"{record}: its image {IMAGE} is not in .*images_train; add"
    with pytest.raises(UserError, match=message):
        prepare(scenes_config("vlt5", "vqa"))
    assert not (DATA / "prepared").exists() or not list((DATA / "prepared").iterdir())


def test_text_without_photos_into_french_with_two_test_splits(scenes_config, tmp_path, monkeypatch):
    """Multi30K without any photo: an empty image table, and rows -1."""
    root = tmp_path / "data" / "multi30k"
    for folder in ("raw", "image_splits"):
        (root / folder).mkdir(parents=True)
    for split in ("train", "val", "test_2017_flickr", "test_2018_flickr"):
        (root / "raw" / f"{split}.en.gz").write_bytes(gzip.compress(b"A dog {}.\nA cat.\n"))
        (root / "raw" / f"{split}.fr.gz").write_bytes(gzip.compress(b"Un chien.\nUn chat.\n"))
        (root / "image_splits" / f"{split}.txt").write_text("1.jpg\n2.jpg\n")
    monkeypatch.setenv("AMAD_DATA", str(tmp_path / "data"))
    options = {"language": "fr", "tests": ["test_2018_flickr", "test_2017_flickr"], "photos": "none"}
    data = load_task_data(scenes_config("vlt5", "translation", dataset="multi30k", **options))
    assert data.train.image_rows_N.tolist() == [-1, -1]
    assert len(data.images) == 0
    assert isinstance(data.images, PatchRegions)
    assert data.images.features_MRF.shape == (0, 4, 48)
    assert data.images.batch(np.array([-1]), "cpu")["vis_feats"].shape == (1, 4, 48)
    texts = {data.tokenizer.decode(ids) for ids in data.train.source_ids_NL}
    assert texts == {"translate English to French: A dog {}.", "translate English to French: A cat."}
    assert list(data.more_tests) == ["test_2017_flickr"]
    assert len(data.more_tests["test_2017_flickr"]) == 2
    assert data.facts["examples"] == {"train": 2, "validation": 2, "test": 2, "test_2017_flickr": 2}
    assert data.facts["photos"] == dict.fromkeys(data.facts["examples"], 0)
    assert data.facts["image_overlap"]["train/test"] == 2
    assert data.facts["with_image"] == dict.fromkeys(data.facts["examples"], 0)
    assert data.facts["features"] == "no image"


def test_how_many_examples_have_an_image_is_a_fact(scenes_config, tmp_path, monkeypatch):
    """Six lines of Multi30K with Flickr8k's photos; one line of train and one of test lose theirs."""
    monkeypatch.setenv("AMAD_DATA", str(write_official(tmp_path / "data")))
    grid = "raw 4 x 4 px patches of a 2 x 2 grid"
    complete = scenes_config("vlt5", "translation", dataset="multi30k")
    assert load_task_data(complete).facts["features"] == grid
    for split in ("train", "test_2016_flickr"):
        path = tmp_path / "data" / f"multi30k/join_flickr8k/{split}.tsv"
        path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    facts = load_task_data(scenes_config("vlt5", "translation", dataset="multi30k")).facts
    assert facts["with_image"] == {"train": 2, "validation": 1, "test": 1}
    assert facts["features"] == f"{grid}; 1 of 2 test examples have an image"


def test_what_a_subset_leaves_out_is_a_fact(scenes_config, tmp_path, monkeypatch):
    """Karpathy's file lacks one of five images: its three questions are in no split."""
    root = write_official(tmp_path / "data")
    edit_json(root / "coco/dataset_coco.json", lambda content: content["images"].pop(0))
    monkeypatch.setenv("AMAD_DATA", str(root))
    facts = load_task_data(scenes_config("blip", "vqa", dataset="vqa_v2", subset=True)).facts
    assert (facts["left_out"], facts["answers"]) == ({"train2014": 3}, 1)
    assert facts["examples"] == facts["with_image"] == {"train": 6, "validation": 3, "test": 3}


def test_facts_of_scenes(scenes_config):
    data = load_task_data(scenes_config("vlt5", "captioning"))
    saved = next(DATA.glob("prepared/vlt5-*/tokenizer.json")).read_bytes()
    assert data.facts == {
        "examples": {"train": 200, "validation": 8, "test": 12},
        "with_image": {"train": 200, "validation": 8, "test": 12},
        "photos": {"train": 40, "validation": 8, "test": 12},
        "left_out": {},
        "answers": None,
        "image_overlap": {},
        "features": "raw 8 x 8 px patches of given boxes",
        "tokenizer_sha256": hashlib.sha256(saved).hexdigest(),
    }
    pixels = load_task_data(scenes_config("blip", "vqa")).facts["features"]
    assert pixels == "raw 48 x 48 px in 8 px patches"


def test_groups_and_answer_scores(scenes_config, scenes_folder):
    test = load_task_data(scenes_config("vlt5", "vqa")).test
    annotations = json.loads((scenes_folder / "annotations_test.json").read_text())["annotations"]
    by_id = {str(annotation["question_id"]): annotation for annotation in annotations}
    assert isinstance(test.groups, Column)
    for example, groups, scores in zip(test.example_ids, test.groups, test.answer_scores, strict=True):
        annotation = by_id[example]
        assert groups["answer_type"] == annotation["answer_type"]
        answers = [answer["answer"] for answer in annotation["answers"]]
        assert scores == {a: {1: 0.3, 2: 0.6, 3: 0.9}.get(answers.count(a), 1.0) for a in set(answers)}
    assert test.first(3).groups[2] == test.groups[2]


def test_a_tokenizer_from_a_folder(scenes_config, tmp_path, monkeypatch):
    """BERT's ids: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3; lower case, words cut into pieces."""
    bert_folder(tmp_path / "data" / "bert")
    monkeypatch.setenv("AMAD_DATA", str(tmp_path / "data"))
    data = load_task_data(scenes_config("blip", "vqa", tokenizer="bert"))
    assert data.tokenizer.special == SpecialIds(0, 3, 1, 16, 4, 17)
    meta = json.loads(next(DATA.glob("prepared/blip-*/meta.json")).read_text())
    assert meta["special_ids"] == {"pad": 0, "eos": 3, "unknown": 1, "bos": 16, "mask": 4, "start": 17}
    assert data.test.pad == 0
    ends = (data.test.source_ids_NL == 3).sum(axis=1)
    assert set(ends.tolist()) == {1}
    assert set(data.test.source_ids_NL[:, 0].tolist()) == {17}
    assert (data.test.source_ids_NL[:, 1:] == 17).sum() == (data.test.source_ids_NL == 2).sum() == 0
    assert any("what" in data.tokenizer.decode(ids).split() for ids in data.train.source_ids_NL)
