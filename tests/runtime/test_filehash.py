"""Hashes of files: always right, and remembered for large files only."""

import hashlib
import json
import os
import unicodedata
from pathlib import Path

import pytest

from amad_bench.runtime import filehash


@pytest.fixture
def large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A settled file that counts as large."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(filehash, "LARGE", 10)
    path = tmp_path / "large"
    _write(path, b"x" * 20, age=100)
    return path


def _write(path: Path, content: bytes, age: float) -> None:
    path.write_bytes(content)
    then = path.stat().st_mtime - age
    os.utime(path, (then, then))


def _next_process() -> None:
    filehash._sha256.cache_clear()


def _reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    seen: list[Path] = []
    real = filehash.read_sha256
    monkeypatch.setattr(filehash, "read_sha256", lambda path: seen.append(path) or real(path))
    return seen


def test_a_large_file_is_read_once(large: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    reads = _reads(monkeypatch)
    expected = hashlib.sha256(b"x" * 20).hexdigest()
    assert filehash.file_sha256(large) == expected
    _next_process()
    assert filehash.file_sha256(large) == expected
    assert reads == [large.resolve()]
    assert capsys.readouterr().err.count("\n") == 1


def test_a_changed_file_is_read_again(large: Path) -> None:
    filehash.file_sha256(large)
    _next_process()
    _write(large, b"y" * 20, age=50)
    assert filehash.file_sha256(large) == hashlib.sha256(b"y" * 20).hexdigest()


def test_a_file_that_was_just_written_is_not_remembered(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(large, b"y" * 20, age=0)
    reads = _reads(monkeypatch)
    filehash.file_sha256(large)
    _next_process()
    filehash.file_sha256(large)
    assert len(reads) == 2


def test_a_small_file_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "small").write_bytes(b"x")
    assert filehash.file_sha256(tmp_path / "small") == hashlib.sha256(b"x").hexdigest()
    assert [path.name for path in tmp_path.iterdir()] == ["small"]


def test_a_broken_memory_is_ignored(large: Path) -> None:
    filehash.file_sha256(large)
    Path("results/data/file_hashes.json").write_text("{")
    _next_process()
    assert filehash.file_sha256(large) == hashlib.sha256(b"x" * 20).hexdigest()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Twenty settled files that count as large together."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(filehash, "LARGE", 10)
    (tmp_path / "features").mkdir()
    for number in range(20):
        _write(tmp_path / "features" / f"{number}.npz", b"x%d" % number, age=100)
    return tmp_path / "features"


def test_a_folder_of_features_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    reads = _reads(monkeypatch)
    first = filehash.folder_sha256(folder)
    assert len(reads) == 20
    assert filehash.folder_sha256(folder) == first
    assert len(reads) == 20
    assert len(json.loads(Path("results/data/file_hashes.json").read_text())) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_folder_is_known_by_every_byte_in_it(folder: Path) -> None:
    """Another content of the same size, put there with the same time of change."""
    first = filehash.folder_sha256(folder)
    path = folder / "11.npz"
    before = path.stat()
    (folder.parent / "new").write_bytes(b"y11")
    os.utime(folder.parent / "new", ns=(before.st_atime_ns, before.st_mtime_ns))
    os.replace(folder.parent / "new", path)
    assert filehash.folder_sha256(folder) != first


def test_a_folder_that_was_just_written_is_not_remembered(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _write(folder / "3.npz", b"z3", age=0)
    reads = _reads(monkeypatch)
    assert filehash.folder_sha256(folder) == filehash.folder_sha256(folder)
    assert len(reads) == 40


def test_a_folder_of_photos_is_listed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed: list[Path] = []
    real = filehash.listing
    monkeypatch.setattr(filehash, "listing", lambda path: listed.append(path) or real(path))
    names = sorted([str(path.relative_to(folder)), path.stat().st_size] for path in folder.rglob("*.npz"))
    expected = hashlib.sha256(json.dumps(names).encode()).hexdigest()
    assert [filehash.listing_sha256(folder) for _ in range(3)] == [expected] * 3
    assert listed == [folder]


JUNK = [
    *(".DS_Store", "._3.npz", ".nfs000000000123", ".gitattributes", ".hidden", ".3.npz.swp"),
    *("Thumbs.db", "THUMBS.DB", "desktop.ini", "Icon\r", "3.npz~", "README.md", "LICENSE", "license.txt"),
    *("tf_model.h5", "flax_model.msgpack", "rust_model.ot"),
    *(
        "@eaDir/3.npz/SYNOPHOTO_THUMB.jpg",
        ".git/config",
        ".cache/huggingface/a",
        "lost+found/3",
        "#recycle/3",
    ),
    *(".ipynb_checkpoints/3.npz", ".Trash-0/3", ".snapshot/3.npz", "onnx/model.onnx", "__MACOSX/3.npz"),
]


def add_junk(folder: Path) -> None:
    for name in JUNK:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("no data")


def test_what_is_not_data_does_not_change_what_a_folder_is(folder: Path) -> None:
    """The hashes are those that folders without junk have always had."""
    (folder / "no ending").write_text("data")
    names = sorted(path.name for path in folder.iterdir())
    contents = [[name, hashlib.sha256((folder / name).read_bytes()).hexdigest()] for name in names]
    sizes = [[name, (folder / name).stat().st_size] for name in names]
    add_junk(folder)
    assert sorted(entry.name for entry in filehash.data_entries(folder)) == names
    for found, expected in ((filehash.folder_sha256, contents), (filehash.listing_sha256, sizes)):
        assert found(folder) == hashlib.sha256(json.dumps(expected).encode()).hexdigest()


@pytest.mark.parametrize("name", ["a.jpg", "a", "vocab.txt", "thumbs.jpg", "a.h5", "~a.jpg", "license.jpg"])
def test_names_that_data_may_have(name: str) -> None:
    assert not filehash.is_junk(name)


def test_a_link_is_known_by_what_it_leads_to(tmp_path: Path) -> None:
    """As in the cache of a model hub, whose snapshots are links to blobs."""
    (tmp_path / "blobs").mkdir()
    (tmp_path / "snapshot").mkdir()
    for name in ("config.json", "model.safetensors"):
        (tmp_path / "blobs" / name).write_text(f"content of {name}")
        (tmp_path / "snapshot" / name).symlink_to(tmp_path / "blobs" / name)
    assert [file.name for file in filehash.listing(tmp_path / "snapshot")] == [
        "config.json",
        "model.safetensors",
    ]
    before = filehash.folder_sha256(tmp_path / "snapshot")
    assert before == filehash.folder_sha256(tmp_path / "blobs")
    (tmp_path / "blobs" / "config.json").write_text("something else")
    assert filehash.folder_sha256(tmp_path / "snapshot") != before


def test_two_spellings_of_a_name_are_one_identity(tmp_path: Path) -> None:
    for folder, form in (("linux", "NFC"), ("mac", "NFD")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / unicodedata.normalize(form, "café.jpg")).write_bytes(b"photo")
    assert filehash.listing_sha256(tmp_path / "linux") == filehash.listing_sha256(tmp_path / "mac")


@pytest.mark.parametrize(
    "name",
    ["a.jpg:Zone.Identifier", "Thumbs.db:encryptable", "~$a.docx", "a.jpg.part", "a.tmp", "SHA256SUMS"],
)
def test_what_stands_beside_data_is_junk(name: str) -> None:
    assert filehash.is_junk(name)
