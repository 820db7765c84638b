"""Sources of data: whether it is there, and the hash that identifies it."""

from pathlib import Path

import pytest

from amad_bench.plan.datafiles import Source, content_hash, dataset_hash, features_sha256, missing, sources
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.filehash import listing_sha256
from tests.runtime.test_filehash import add_junk

SOURCES = sources("daquar", "vqa", {}, "pixels", None)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every file of DAQUAR, with other content in each."""
    for number, source in enumerate(SOURCES):
        path = tmp_path / (source.path + (".tar" if source.kind == "photos" else ""))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number))
    monkeypatch.setenv("AMAD_DATA", str(tmp_path))
    return tmp_path


def daquar() -> str:
    return dataset_hash("daquar", {}, SOURCES)


def test_generated_data_are_hashed_by_options_without_any_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AMAD_DATA", raising=False)
    assert sources("scenes", "vqa", {}, "regions", None) == []
    one, other = dataset_hash("scenes", {"seed": 0}, []), dataset_hash("scenes", {"seed": 1}, [])
    assert one == dataset_hash("scenes", {"seed": 0}, []) != other
    assert len(one) == 16


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.path)
def test_every_byte_of_every_file_counts(folder: Path, source: Source) -> None:
    before = daquar()
    path = source.found(folder)
    assert path is not None
    path.write_text("changed")
    assert daquar() != before


def test_the_place_of_the_folder_does_not_count(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = daquar()
    (tmp_path / "elsewhere").mkdir()
    (folder / "daquar").rename(tmp_path / "elsewhere" / "daquar")
    monkeypatch.setenv("AMAD_DATA", str(tmp_path / "elsewhere"))
    assert daquar() == before


def test_what_is_missing_is_one_sentence(folder: Path) -> None:
    assert missing(SOURCES) == ""
    (folder / SOURCES[0].path).unlink()
    assert missing(SOURCES).startswith(f"missing below AMAD_DATA: {SOURCES[0].path}; `amad-bench doctor`")
    (folder / SOURCES[1].path).unlink()
    assert f"{SOURCES[0].path} and 1 more;" in missing(SOURCES)


def test_without_amad_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AMAD_DATA", raising=False)
    assert "AMAD_DATA is not set" in missing(SOURCES)


def test_photos_are_a_folder_or_an_archive(tmp_path: Path) -> None:
    photos = Source("coco/images/val2014", "photos")
    (tmp_path / "coco" / "images").mkdir(parents=True)
    assert photos.found(tmp_path) is None
    (tmp_path / "coco" / "images" / "val2014.tar").touch()
    assert photos.found(tmp_path) == tmp_path / "coco" / "images" / "val2014.tar"
    (tmp_path / "coco" / "images" / "val2014").mkdir()
    assert photos.found(tmp_path) == tmp_path / "coco" / "images" / "val2014"


def test_a_folder_of_photos_is_known_by_names_and_sizes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMAD_DATA", str(tmp_path))
    wanted = [Source("photos", "photos")]
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("one")
    before = content_hash(wanted)
    (tmp_path / "photos" / "b.jpg").write_text("two")
    listing_sha256.cache_clear()  # in another process
    with_another = content_hash(wanted)
    (tmp_path / "photos" / "b.jpg").write_text("three")
    listing_sha256.cache_clear()
    assert len({before, with_another, content_hash(wanted)}) == 3


def test_a_folder_of_features_is_known_by_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMAD_DATA", str(tmp_path))
    (tmp_path / "npz").mkdir()
    (tmp_path / "npz" / "a.npz").write_text("one")
    before = content_hash([Source("npz", "features")])
    (tmp_path / "npz" / "a.npz").write_text("two")  # as long as before
    features_sha256.cache_clear()  # in another process
    assert content_hash([Source("npz", "features")]) != before


@pytest.mark.parametrize("kind", ["photos", "features", "folder", "weights"])
def test_what_systems_leave_in_a_folder_is_no_part_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setenv("AMAD_DATA", str(tmp_path))
    (tmp_path / "it").mkdir()
    (tmp_path / "it" / "a").write_text("one")
    before = content_hash([Source("it", kind)])
    add_junk(tmp_path / "it")
    listing_sha256.cache_clear()  # in another process
    features_sha256.cache_clear()
    assert content_hash([Source("it", kind)]) == before


def test_a_link_in_a_circle_is_unreadable_not_missing(folder: Path) -> None:
    path = folder / SOURCES[0].path
    path.unlink()
    path.symlink_to(path)
    assert missing(SOURCES) == ""
    with pytest.raises(UserError, match="Too many levels of symbolic links; make it readable"):
        daquar()


def test_a_model_folder_is_known_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMAD_DATA", str(tmp_path))
    (tmp_path / "vit").mkdir()
    (tmp_path / "vit" / "config.json").write_text("one")
    before = content_hash([Source("vit", "folder")])
    (tmp_path / "vit" / "config.json").write_text("two")  # as long as before
    assert content_hash([Source("vit", "folder")]) != before


@pytest.mark.usefixtures("folder")
def test_an_unreadable_file_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("amad_bench.plan.datafiles.file_sha256", _denied)
    with pytest.raises(UserError, match=r"questions_train\.json: Permission denied; make it readable"):
        daquar()


def _denied(path: Path) -> str:
    raise PermissionError(13, "Permission denied", str(path))


def test_features_replace_photos() -> None:
    wanted = sources("vqa_v2", "vqa", {"answers": "file"}, "features", ["coco/features/train2014_obj36.h5"])
    assert [source.path for source in wanted if source.kind != "text"] == ["coco/features/train2014_obj36.h5"]
    assert "vqa-v2/trainval_ans2label.json" in [source.path for source in wanted]


def test_multi30k_needs_what_its_options_say() -> None:
    options = {"language": "fr", "tests": ["test_2017_flickr"], "photos": "none"}
    paths = [source.path for source in sources("multi30k", "translation", options, "regions", None)]
    assert paths == [
        *(f"multi30k/raw/{s}.{x}.gz" for s in ("train", "val", "test_2017_flickr") for x in ("en", "fr")),
        *(f"multi30k/image_splits/{split}.txt" for split in ("train", "val", "test_2017_flickr")),
    ]
