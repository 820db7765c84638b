"""Worker processes change nothing but speed: not the batches, not their order, not the random state."""

import multiprocessing
import random
import tarfile
import threading
import time
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from amad_bench.data import prefetch
from amad_bench.data.batch import Batch
from amad_bench.data.images.feature_files import FeatureFiles
from amad_bench.data.images.features import FeatureRegions, keep_features, kept_features
from amad_bench.data.images.photos import Photos
from amad_bench.data.images.pixels import DecodedPixels
from amad_bench.data.images.regions import PatchRegions
from amad_bench.data.images.table import ImageTable, mapped
from amad_bench.data.tasks.batches import draw_targets, make_batch
from amad_bench.data.tasks.data import Answers, Split
from amad_bench.data.tasks.loader import batches
from amad_bench.runtime.errors import UserError
from tests.data.images.test_feature_files import record, write_h5, write_npz

# Python 3.12 warns of any fork while a thread runs; the workers only read files.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
IMAGES = 9
KINDS = ("tar", "folder", "h5", "npz", "memory map", "kept features")


def split_of(n: int = 30) -> Split:
    rng = np.random.default_rng(2)
    names = [str(i) for i in range(n)]
    return Split(
        names,
        names,
        rng.integers(1, 90, (n, 6)).astype(np.uint16),
        rng.integers(1, 90, (n, 3)).astype(np.uint16),
        rng.integers(-1, IMAGES, n),
        [["x"]] * n,
        [{}] * n,
        [{}] * n,
        pad=0,
    )


def answered() -> Split:
    """Each question has three answers of equal score."""
    answers = Answers(
        np.arange(1, 10).reshape(3, 3), np.arange(0, 91, 3), np.tile(np.arange(3), 30), np.full(90, 0.6)
    )
    return replace(split_of(), answers=answers)


def png(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), np.uint8)
    file = BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def table_of(kind: str, folder: Path) -> ImageTable:
    names = [f"{i}.png" for i in range(IMAGES)]
    if kind == "tar":
        with tarfile.open(folder / "photos.tar", "w") as archive:
            for seed, name in enumerate(names):
                member = tarfile.TarInfo(name)
                member.size = len(png(seed))
                archive.addfile(member, BytesIO(png(seed)))
        return DecodedPixels(names, Photos([folder / "photos"]), 8)
    if kind == "folder":
        (folder / "photos").mkdir()
        for seed, name in enumerate(names):
            (folder / "photos" / name).write_bytes(png(seed))
        return DecodedPixels(names, Photos([folder / "photos"]), 8)
    if kind == "memory map":
        rng = np.random.default_rng(0)
        np.save(folder / "features.npy", rng.integers(0, 256, (IMAGES, 3, 5), np.uint8))
        np.save(folder / "boxes.npy", rng.random((IMAGES, 3, 4), np.float32))
        np.save(folder / "mask.npy", rng.random((IMAGES, 3)) < 0.8)
        return PatchRegions(
            names, *(mapped(folder / f"{name}.npy") for name in ("features", "boxes", "mask"))
        )
    records = {str(i): record(regions=i % 3 + 1, seed=i) for i in range(IMAGES)}
    path = write_npz(folder / "a", records) if kind == "npz" else write_h5(folder / "a.h5", records)
    files = FeatureFiles([path], 5, 3)
    if kind == "kept features":
        keep_features(folder, names, files)
        return kept_features(folder, names)
    return FeatureRegions(names, files)


@pytest.fixture(params=KINDS)
def table(request, tmp_path) -> ImageTable:
    return table_of(request.param, tmp_path)


ORDER = [np.random.default_rng(i).permutation(30)[:7] for i in range(6)]


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    drawn = {} if batch.sample_weight_B is None else {"sample_weight": batch.sample_weight_B}
    return {**batch.inputs, "labels": batch.labels_BL, **drawn}


def same(one: Batch, two: Batch) -> bool:
    left, right = tensors(one), tensors(two)
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def random_state() -> tuple:
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()


def test_two_workers_give_the_same_batches_as_none_and_leave_the_random_state(table):
    split = split_of()
    before = random_state()
    alone = list(batches(split, table, ORDER, "cpu"))
    together = list(batches(split, table, ORDER, "cpu", workers=2))
    assert random_state() == before
    assert len(alone) == len(together) == 6
    for rows, (a_rows, a), (b_rows, b) in zip(ORDER, alone, together, strict=True):
        assert rows.tolist() == a_rows.tolist() == b_rows.tolist()
        assert same(a, b)
        assert same(a, make_batch(split, table, rows, "cpu"))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_thread_makes_the_same_batches(tmp_path, monkeypatch, workers):
    split, table = split_of(), table_of("tar", tmp_path)
    expected = [batch for _, batch in batches(split, table, ORDER, "cpu")]
    monkeypatch.setattr(prefetch, "helps", lambda _: True)
    found = [batch for _, batch in batches(split, table, ORDER, "cpu", workers=workers)]
    assert all(same(a, b) for a, b in zip(found, expected, strict=True))


def test_left_early_a_thread_that_waits_for_a_worker_ends(tmp_path, monkeypatch):
    """The worker hangs in a read; it is killed before the thread is waited for."""
    monkeypatch.setattr(prefetch, "helps", lambda _: True)
    table = table_of("tar", tmp_path)
    read = DecodedPixels.read
    monkeypatch.setattr(
        DecodedPixels, "read", lambda self, rows: time.sleep(60 * (rows[0] == 8)) or read(self, rows)
    )
    split = split_of().with_image_rows(np.r_[np.zeros(29, int), 8])
    order = [np.arange(7), np.arange(7, 14), np.array([29] * 7)]
    loader = batches(split, table, order, "cpu", workers=1)
    next(loader)
    next(loader)
    started = time.perf_counter()
    loader.close()
    assert time.perf_counter() - started < 4
    assert prefetch.THREAD not in [thread.name for thread in threading.enumerate()]
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("ahead", [False, True])
def test_the_generator_of_answers_stands_where_the_batch_left_it(tmp_path, monkeypatch, ahead):
    """Which checkpoints keep: whatever was drawn for the batches that come."""
    monkeypatch.setattr(prefetch, "helps", lambda _: ahead)
    split, table = answered(), table_of("memory map", tmp_path)
    generator, alone = (np.random.default_rng(5) for _ in range(2))
    for rows, _ in batches(split, table, ORDER, "cpu", answer_generator=generator):
        time.sleep(0.01)  # the thread draws the next ones
        draw_targets(split, rows, alone)
        assert generator.bit_generator.state == alone.bit_generator.state


def test_answers_are_drawn_alike_with_two_workers_and_none(tmp_path):
    """Each question has three answers of equal score: 42 draws agree by chance once in 3 ** 42."""
    scored, table = answered(), table_of("memory map", tmp_path)
    batches_of = [
        list(batches(scored, table, ORDER, "cpu", workers, np.random.default_rng(seed)))
        for workers, seed in ((0, 5), (2, 5), (0, 6))
    ]
    alone, together, other = batches_of
    assert all(same(a, b) for (_, a), (_, b) in zip(alone, together, strict=True))
    assert not all(same(a, b) for (_, a), (_, b) in zip(alone, other, strict=True))


def test_the_images_are_those_of_the_rows(tmp_path):
    """Without any of this package's code: the photo's bytes, resized by Pillow."""
    split, table = split_of(), table_of("tar", tmp_path)
    ((_, batch),) = batches(split, table, [np.array([4, 9])], "cpu", workers=1)
    for pixels, row in zip(batch.inputs["pixel_values"], split.image_rows_N[[4, 9]], strict=True):
        image = Image.open(BytesIO(png(row))).resize((8, 8), Image.Resampling.BICUBIC)
        expected = np.asarray(image).transpose(2, 0, 1) / 127.5 - 1
        np.testing.assert_allclose(pixels.numpy(), expected if row >= 0 else 0 * expected, atol=1e-6)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_second_loader_in_between_changes_nothing(table, workers):
    split = split_of()
    expected = [batch for _, batch in batches(split, table, ORDER, "cpu")]
    seen = []
    for _, batch in batches(split, table, ORDER, "cpu", workers=workers):
        seen.append(batch)
        list(batches(split, table, ORDER[:2], "cpu", workers=workers))
    assert all(same(a, b) for a, b in zip(seen, expected, strict=True))


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_photo_is_one_line_from_a_worker_too(tmp_path, workers):
    split, table = split_of(), table_of("folder", tmp_path)
    (tmp_path / "photos" / "3.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"3\.png cannot be decoded as an image; restore it$") as caught:
        list(batches(split, table, ORDER, "cpu", workers=workers))
    assert "\n" not in str(caught.value)


def test_a_loader_that_is_left_early_ends_its_workers(tmp_path):
    loader = batches(split_of(), table_of("h5", tmp_path), ORDER, "cpu", workers=2)
    next(loader)
    assert len(multiprocessing.active_children()) == 2
    loader.close()  # pyright: ignore[reportAttributeAccessIssue]
    assert not multiprocessing.active_children()
