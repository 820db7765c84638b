import multiprocessing
import os
import pickle
import tarfile

import numpy as np
import pytest
from PIL import Image

from amad_bench.data.images.photos import Photos
from amad_bench.runtime.errors import UserError
from tests.data.official_tree import jpeg, write_tar
from tests.runtime.test_filehash import JUNK, add_junk


def png(path, array):
    Image.fromarray(array).save(path, format="PNG")
    return path.read_bytes()


GREY = np.arange(12, dtype=np.uint8).reshape(3, 4)


@pytest.fixture
def base(tmp_path):
    """Two photos, as a folder and as an archive."""
    folder = tmp_path / "folder"
    folder.mkdir()
    write_tar(tmp_path / "tar.tar", {"b.jpg": jpeg(), "a.png": png(folder / "a.png", GREY), "empty.jpg": b""})
    (folder / "b.jpg").write_bytes(jpeg())
    return tmp_path


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_photos_are_read_by_name_as_rgb(base, kind):
    with Photos([base / kind]) as photos:
        assert "a.png" in photos
        assert "c.png" not in photos
        assert photos.names[:2] == ["a.png", "b.jpg"]
        image = photos.open_image("a.png")
        assert photos.open_image("b.jpg").size == (16, 12)
    assert np.array_equal(np.asarray(image), np.repeat(GREY[:, :, None], 3, axis=2))


def test_several_bases(base):
    (base / "folder/c.jpg").write_bytes(jpeg())
    with Photos([base / "tar", base / "folder"]) as photos:
        assert photos.names == ["a.png", "b.jpg", "c.jpg", "empty.jpg"]
        assert photos.open_image("c.jpg").size == (16, 12)
    assert Photos([]).names == []


def test_nothing_is_opened_before_it_is_needed(tmp_path):
    with Photos([tmp_path / "absent"]) as photos:
        message = r"absent\.tar: no such file, and .*absent is no folder; put"
        with pytest.raises(UserError, match=message):
            photos.open_image("a.png")
        (tmp_path / "absent").mkdir()
        assert "a.png" not in photos


def opened(photos, name, answer):
    answer.put((photos.open_image(name).size, photos.names))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_other_processes_read_the_same_archive(base, method):
    context = multiprocessing.get_context(method)
    with Photos([base / "tar"]) as photos:
        photos.open_image("a.png")  # the archive is open when the others get it
        answer = context.SimpleQueue()
        workers = [context.Process(target=opened, args=(photos, "b.jpg", answer)) for _ in range(2)]
        for worker in workers:
            worker.start()
        photos.open_image("b.jpg")
        assert [answer.get() for _ in workers] == [((16, 12), ["a.png", "b.jpg", "empty.jpg"])] * 2
        for worker in workers:
            worker.join()


def test_a_pickled_copy_outlives_the_original(base):
    with Photos([base / "tar"]) as photos:
        photos.open_image("a.png")
        copy = pickle.loads(pickle.dumps(photos))
    with copy:
        assert copy.open_image("a.png").size == (4, 3)


def test_archives_are_closed(base):
    with Photos([base / "tar"]) as photos:
        photos.open_image("a.png")
        (handle,) = photos._handles.values()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(handle)


@pytest.mark.parametrize("kind", ["folder", "tar"])
@pytest.mark.parametrize("content", [b"", b"no image", jpeg()[:200]])
def test_a_photo_that_cannot_be_decoded(tmp_path, kind, content):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/a.jpg").write_bytes(content)
    write_tar(tmp_path / "tar.tar", {"a.jpg": content})
    with (
        Photos([tmp_path / kind]) as photos,
        pytest.raises(UserError, match=r"(folder/|tar\.tar: )a.jpg cannot be decoded as an image; restore"),
    ):
        photos.open_image("a.jpg")


def test_a_photo_that_is_not_there(base):
    with (
        Photos([base / "tar", base / "folder"]) as photos,
        pytest.raises(UserError, match=r"tar or .*folder: no photo c\.png; add it"),
    ):
        photos.open_image("c.png")


def test_what_is_no_photo(tmp_path):
    """What systems leave in folders, and in archives made of them, and what lies below a folder."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.jpg").write_bytes(jpeg())
    add_junk(tmp_path / "folder")
    junk = [name for name in JUNK if name.rpartition("/")[0] in ("", ".git", ".ipynb_checkpoints")]
    write_tar(tmp_path / "tar.tar", {"a.jpg": jpeg()} | dict.fromkeys([*junk, "__MACOSX/._a.jpg"], b"x"))
    with tarfile.open(tmp_path / "packed.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        entry = archive.gettarinfo(tmp_path / "folder" / "a.jpg", "./a.jpg")
        entry.pax_headers = {"comment": "é", "LIBARCHIVE.creationtime": "1"}  # as macOS's tar writes them
        with (tmp_path / "folder" / "a.jpg").open("rb") as file:
            archive.addfile(entry, file)
    for kind in ("folder", "tar", "packed"):
        with Photos([tmp_path / kind]) as photos:
            assert photos.names == ["a.jpg"]
            assert "@eaDir" not in photos
            assert photos.open_image("a.jpg").size == (16, 12)


@pytest.mark.parametrize("kind", ["folder", "tar"])
def test_an_accent_is_found_however_it_is_written(tmp_path, kind):
    composed, decomposed = "caf\u00e9.jpg", "cafe\u0301.jpg"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / decomposed).write_bytes(jpeg())
    write_tar(tmp_path / "tar.tar", {decomposed: jpeg()})
    with Photos([tmp_path / kind]) as photos:
        assert composed in photos
        assert photos.open_image(composed).size == photos.open_image(decomposed).size == (16, 12)
    (tmp_path / "folder" / composed).write_bytes(jpeg())
    write_tar(tmp_path / "tar.tar", {decomposed: jpeg(), composed: jpeg()})
    with Photos([tmp_path / kind]) as photos, pytest.raises(UserError, match=r"caf.*\.jpg is there twice"):
        photos.open_image(composed)


@pytest.mark.parametrize("name", ["folder/a.jpg", "tar.tar"])
def test_a_git_lfs_pointer_is_named(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 3\n")
    with (
        Photos([tmp_path / name.partition("/")[0].removesuffix(".tar")]) as photos,
        pytest.raises(UserError, match=rf"{name}.* a Git LFS pointer, .*; fetch that with `git lfs pull`$"),
    ):
        photos.open_image("a.jpg")


def test_the_photos_of_real_data(shared_data):
    """The README's counts, and the sizes it states for Flickr8k's squashed photos."""
    counts = {"daquar": 1449, "flickr8k": 8091, "coco-mini": 506}
    for name, count in counts.items():
        with Photos([shared_data / name / "images_112"]) as photos:
            assert len(photos.names) == count
            size = photos.open_image(photos.names[0]).size
            assert size == (112, 112) if name == "flickr8k" else min(size) == 112
