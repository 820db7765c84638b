import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from amad_bench.data.images import ImageArchive
from amad_bench.runtime.errors import UserError


def write_tar(path, files):
    with tarfile.open(path, "w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def png(array):
    content = io.BytesIO()
    Image.fromarray(array).save(content, format="PNG")
    return content.getvalue()


def test_images_are_read_by_name_as_rgb(tmp_path):
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    with ImageArchive(write_tar(tmp_path / "x.tar", {"b.png": b"", "a.png": png(grey)})) as archive:
        assert "a.png" in archive
        assert "c.png" not in archive
        image = archive.open_image("a.png")
    assert np.array_equal(np.asarray(image), np.repeat(grey[:, :, None], 3, axis=2))


@pytest.mark.parametrize("content", [b"", b"no image", png(np.zeros((40, 40, 3), np.uint8))[:60]])
def test_an_image_that_cannot_be_decoded(tmp_path, content):
    with (
        ImageArchive(write_tar(tmp_path / "x.tar", {"a.png": content})) as archive,
        pytest.raises(UserError, match=r"x.tar: a.png cannot be decoded as an image; restore"),
    ):
        archive.open_image("a.png")


def test_a_missing_or_broken_archive(tmp_path):
    with pytest.raises(UserError, match=r"x.tar: no such file"):
        ImageArchive(tmp_path / "x.tar")
    (tmp_path / "x.tar").write_bytes(b"this is no archive " * 60)
    with pytest.raises(UserError, match=r"x.tar: no readable tar archive"):
        ImageArchive(tmp_path / "x.tar")
