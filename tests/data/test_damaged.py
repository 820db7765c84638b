"""Broken input files: each ends in one line that names the file and what to do, and nothing is written.

Every case (damaged_cases.py) damages one thing in a tiny copy of the official layouts (official_tree.py),
reads all examples of the data set and opens all their photos.
"""

import hashlib
import re
from pathlib import Path

import pytest

from amad_bench.data.images.photos import Photos
from amad_bench.data.prepare import prepare
from amad_bench.data.sources.examples import read_examples
from amad_bench.plan.run_config import UsedDataset
from amad_bench.runtime.errors import UserError
from tests.data.damaged_cases import FROM_FILE, GERMAN, GROUPS, LABELS, PACKED, PHOTOS, QUESTIONS
from tests.data.official_tree import (
    COCO,
    MULTI30K,
    VQA,
    file_name,
    jpeg,
    write_json,
    write_official,
    write_tar,
)
from tests.planned import planned_config

TASKS = {"vqa_v2": "vqa", "coco": "captioning", "multi30k": "translation"}


def read_all(dataset: UsedDataset, root: Path) -> None:
    sources = read_examples(dataset, TASKS[dataset.name], root)
    for source in sources.values():
        with Photos(source.photos) as photos:
            for example in source.examples:
                if example.image is not None:
                    photos.open_image(example.image)


def snapshot(folder: Path) -> dict[str, str]:
    """Every path below the folder with what it holds."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        if path.is_file()
        else f"link to {path.readlink()}"
        if path.is_symlink()
        else "folder"
        for path in sorted(folder.rglob("*"))
    }


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The undamaged files; the working directory, where results would stand, is beside them."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("AMAD_DATA", str(tmp_path / "data"))
    root = write_official(tmp_path / "data")
    write_json(root / LABELS, {"yes": 0, "no": 1})
    return root


@pytest.mark.parametrize("dataset", [VQA, FROM_FILE, COCO, MULTI30K])
def test_undamaged_files_are_read(root, dataset):
    read_all(dataset, root)


def check_one_line(dataset: UsedDataset, root: Path, file: str, message: str) -> None:
    """Reading fails in one line, about the file, with an advice; nothing appears or changes anywhere."""
    before = snapshot(root.parent)
    with pytest.raises(UserError) as caught:
        read_all(dataset, root)
    (line,) = caught.value.messages
    assert "\n" not in line
    assert re.search(f"{re.escape(file.removesuffix('.tar'))}.*{message}", line), line
    assert re.search(r"; [a-z]|: bring files", line)  # what to do
    assert snapshot(root.parent) == before


@pytest.mark.parametrize(
    ("dataset", "file", "damage", "message"),
    [
        pytest.param(dataset, file, damage, message, id=name)
        for dataset, file, cases in GROUPS
        for name, (damage, message) in cases.items()
    ],
)
def test_a_damaged_file_ends_in_one_line_and_touches_nothing(root, dataset, file, damage, message):
    damage(root / file)
    check_one_line(dataset, root, file, message)


@pytest.mark.parametrize(("dataset", "file"), [(VQA, QUESTIONS), (MULTI30K, GERMAN)])
def test_an_unreadable_file(root, monkeypatch, dataset, file):
    """Tests may run as root, whom no file refuses: the refusal is made here."""
    before = snapshot(root.parent)
    read_bytes = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path == root / file:
            raise PermissionError(13, "Permission denied", str(path))
        return read_bytes(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", refuse)
        with pytest.raises(
            UserError, match=rf"{file}: cannot be read \(Permission denied\); make it readable"
        ) as e:
            read_all(dataset, root)
    assert len(e.value.messages) == 1
    assert snapshot(root.parent) == before


@pytest.mark.parametrize(
    ("put", "message"),
    [
        (lambda photo: photo.write_bytes(b""), "cannot be decoded as an image"),
        (Path.mkdir, "; add it"),
        (lambda photo: photo.symlink_to(photo), r"cannot be read \(Too many levels of symbolic links\)"),
    ],
)
def test_photos_in_a_folder_are_damaged_alike(root, put, message):
    folder = root / PHOTOS.removesuffix(".tar")
    folder.mkdir()
    for name, content in PACKED.items():
        (folder / name).write_bytes(content)
    read_all(COCO, root)
    (folder / file_name(14)).unlink()
    put(folder / file_name(14))
    check_one_line(COCO, root, file_name(14), message)


@pytest.mark.parametrize("image", [{}, {file_name(13): b""}], ids=["missing", "zero bytes"])
def test_preparing_for_a_run_leaves_no_file_behind(root, image):
    write_tar(root / PHOTOS, {file_name(14): jpeg(), file_name(15): jpeg()} | image)
    config = planned_config("vlt5", "captioning", dataset="coco", subset=True)
    with pytest.raises(UserError, match=file_name(13)):
        prepare(config)
    assert not [path for path in Path.cwd().rglob("*") if not path.is_dir()]
