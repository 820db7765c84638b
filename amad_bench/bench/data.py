"""Time that an epoch of generated questions takes to start and to read, and memory that it needs."""

import math
import multiprocessing
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from amad_bench.data.tasks.batches import training_order
from amad_bench.data.tasks.loader import batches
from amad_bench.data.tasks.prepare import load_task_data, prepare_task
from amad_bench.plan.catalogue import DATASETS, FAMILIES
from amad_bench.plan.config.inputs import RegionInputs
from amad_bench.plan.datafiles import dataset_hash
from amad_bench.plan.run_config import DataOption, DataSpec, UsedDataset, UsedTokenizer
from amad_bench.runtime.devices import CPU
from amad_bench.runtime.machine import process_mib

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
        family=next(name for name, family in FAMILIES.items() if "regions" in family.inputs),
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
    imports = CPU.peak_mib()
    started = time.perf_counter()
    data = load_task_data(_data(records))
    steps = math.ceil(len(data.train) / BATCH)
    order = training_order(data.train, BATCH, steps, np.random.default_rng(0))
    loader = batches(data.train, data.images, order, "cpu")
    next(loader)
    first, start = time.perf_counter() - started, CPU.peak_mib()
    for _ in loader:
        pass
    return {
        "records": len(data.train),
        "first_batch_seconds": first,
        "epoch_seconds": time.perf_counter() - started,
        "imports_mib": imports,
        "start_mib": start,
        "peak_mib": CPU.peak_mib(),
        "private_mib": process_mib("RssAnon"),
    }
