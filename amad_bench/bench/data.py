"""Time that an epoch of generated questions takes to start and to read, and memory that it needs."""

import math
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from amad_bench.data.tasks.batches import training_order
from amad_bench.data.tasks.loader import batches
from amad_bench.data.tasks.prepare import load_task_data, prepare_task
from amad_bench.plan.catalogue import DATASETS
from amad_bench.plan.config.inputs import RegionInputs
from amad_bench.plan.datafiles import dataset_hash
from amad_bench.plan.run_config import DataOption, DataSpec, UsedDataset, UsedTokenizer

BATCH = 80  # VL-T5's, for VQA
_PER_IMAGE = 4  # questions that `scenes` asks of an image


def bench_data(records: int, folder: Path) -> list[dict[str, Any]]:
    """One row for a tenth of `records` VQA questions and one for all, so that growth shows.

    Questions are generated and prepared below `folder`, which is kept: calling again only measures. Each
    measurement has a process of its own, because a process never forgets its peak. Columns: records;
    prepare_seconds; first_batch_seconds, from opening the prepared data on; epoch_seconds, one shuffled epoch
    in batches of 80; imports_mib, start_mib, peak_mib: the largest resident memory so far (mapped files
    included) after imports, at the first batch and after the epoch; private_mib (Linux): at the end, without
    mapped files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _in_fresh_process(_prepare, size, folder) | _in_fresh_process(_measure, size, folder)
        for size in (records // 10, records)
    ]


def _in_fresh_process(work: Callable[[int, Path], dict[str, Any]], size: int, folder: Path) -> dict[str, Any]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(work, size, folder).result()


def _data(records: int) -> DataSpec:
    options: dict[str, DataOption] = {
        "train_images": math.ceil(records / _PER_IMAGE),
        "validation_images": 50,
        "test_images": 50,
        "seed": 0,
    }
    return DataSpec(
        family="vlt5",
        task="vqa",
        dataset=UsedDataset(
            name="scenes",
            options=options,
            limit=None,
            features=None,
            version=DATASETS["scenes"].version,
            hash=dataset_hash("scenes", options, []),
        ),
        inputs=RegionInputs(kind="regions", boxes="file", crop=8, max_regions=8),
        inputs_hash=None,
        tokenizer=UsedTokenizer(vocabulary=300),
    )


def _prepare(records: int, folder: Path) -> dict[str, Any]:
    os.chdir(folder)
    started = time.perf_counter()
    prepare_task(_data(records))
    return {"prepare_seconds": time.perf_counter() - started}


def _measure(records: int, folder: Path) -> dict[str, Any]:
    os.chdir(folder)
    imports = _peak_mib()
    started = time.perf_counter()
    data = load_task_data(_data(records))
    steps = math.ceil(len(data.train) / BATCH)
    order = training_order(data.train, BATCH, steps, np.random.default_rng(0))
    loader = batches(data.train, data.images, order, "cpu")
    next(loader)
    first, start = time.perf_counter() - started, _peak_mib()
    for _ in loader:
        pass
    return {
        "records": len(data.train),
        "first_batch_seconds": first,
        "epoch_seconds": time.perf_counter() - started,
        "imports_mib": imports,
        "start_mib": start,
        "peak_mib": _peak_mib(),
        "private_mib": _memory_mib("RssAnon"),
    }


def _peak_mib() -> float:
    peak = _memory_mib("VmHWM")
    if peak is not None:
        return peak
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _memory_mib(field: str) -> float | None:
    """A number of Linux's own account of this process, elsewhere None."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return None
    lines = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
    return int(lines[field].split()[0]) / 2**10
