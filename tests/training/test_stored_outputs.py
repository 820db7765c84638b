"""Stored outputs are complete or absent, and what is damaged or foreign is named, set aside, never read."""

import errno
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from amad_bench.training.stored_outputs import read_part, set_damaged_aside, written_part

OF = {"teacher": "t", "examples": 5}


@pytest.fixture
def part(tmp_path):
    folder = tmp_path / "key" / "logits"
    with written_part(folder, 5) as writer:
        writer.add("logits", np.arange(6, dtype=np.float32).reshape(3, 2))
        writer.add("logits", np.arange(6, 10, dtype=np.float32).reshape(2, 2))
        writer.share("bias", np.array([[True, False]]))
        writer.finish(OF, {"scale": 0.5})
    return folder


def test_what_was_written_chunk_by_chunk_is_read(part):
    stored = read_part(part, OF)
    np.testing.assert_array_equal(stored.each["logits"], np.arange(10, dtype=np.float32).reshape(5, 2))
    np.testing.assert_array_equal(stored.shared["bias"], [[True, False]])
    assert stored.numbers == {"scale": 0.5}
    assert not stored.each["logits"].flags.writeable
    np.testing.assert_array_equal(np.load(part / "logits.npy", allow_pickle=False), stored.each["logits"])


def _truncate(folder):
    path = folder / "logits.npy"
    os.truncate(path, path.stat().st_size - 4)


def _other(folder):
    facts = json.loads((folder / "facts.json").read_text())
    (folder / "facts.json").write_text(json.dumps(facts | {"of": {"teacher": "another", "examples": 5}}))


DAMAGES = {
    "truncated": (_truncate, "logits.npy: truncated or no array"),
    "lost": (lambda folder: (folder / "logits.npy").unlink(), "logits.npy: truncated or no array"),
    "pickle": (
        lambda folder: np.save(folder / "logits.npy", np.array([{}], object), allow_pickle=True),
        "logits.npy: truncated or no array",
    ),
    "another shape": (
        lambda folder: np.save(folder / "logits.npy", np.zeros((4, 2), np.float32)),
        r"logits.npy: float32 \(4, 2\) is not what facts.json says",
    ),
    "no facts": (lambda folder: (folder / "facts.json").unlink(), "facts.json: cannot be read"),
    "broken facts": (lambda folder: (folder / "facts.json").write_text("[]"), "facts.json: cannot be read"),
    "foreign": (_other, "facts.json: outputs of something else"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_is_named_and_set_aside(part, capsys, damage):
    spoil, expected = DAMAGES[damage]
    spoil(part)
    assert read_part(part, OF) is None
    assert part.is_dir()  # another process may just be mending it
    set_damaged_aside(part, OF)
    message = capsys.readouterr().err
    assert len(message.splitlines()) == 1
    assert re.search(expected, message)
    assert not part.exists()
    assert (part.parent / "logits.damaged").is_dir()
    assert read_part(part, OF) is None  # now there is none
    set_damaged_aside(part, OF)
    assert capsys.readouterr().err == ""


def test_what_is_good_stays(part, capsys):
    set_damaged_aside(part, OF)
    assert read_part(part, OF) is not None
    assert capsys.readouterr().err == ""


def test_a_writer_that_fails_leaves_nothing(tmp_path):
    folder = tmp_path / "key" / "logits"

    def write():
        with written_part(folder, 5) as writer:
            writer.add("logits", np.zeros((3, 2), np.float32))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write()
    assert not folder.exists()
    assert list(folder.parent.iterdir()) == []


def test_a_killed_writer_leaves_nothing_that_is_read(tmp_path):
    """What it leaves has another name: that of a folder that is still being made."""
    folder = tmp_path / "key" / "logits"
    child = os.fork()
    if child == 0:
        with written_part(folder, 5) as writer:
            writer.add("logits", np.zeros((3, 2), np.float32))
            os.kill(os.getpid(), 9)
    os.waitpid(child, 0)
    assert [path.name.startswith(".logits.") for path in folder.parent.iterdir()] == [True]
    assert read_part(folder, OF) is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
def test_a_full_disk_is_an_error_that_names_the_place(tmp_path):
    folder = tmp_path / "key" / "logits"

    def write():
        with written_part(folder, 5) as writer:
            (writer.folder / "logits.npy").symlink_to("/dev/full")
            writer.add("logits", np.zeros((3, 2), np.float32))

    with pytest.raises(OSError, match=re.escape(f"No space left on device: '{folder.parent}'")) as caught:
        write()
    assert caught.value.errno == errno.ENOSPC
    assert not folder.exists()
