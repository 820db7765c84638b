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
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from amad_bench.bench.measuring import interleaved_seconds
from amad_bench.data.batch import IGNORED
from amad_bench.data.tasks.batches import training_order
from amad_bench.data.tasks.data import TaskData
from amad_bench.data.tasks.loader import batches
from amad_bench.data.tasks.prepare import load_task_data, prepare_task
from amad_bench.plan.catalogue import DATASETS, FAMILIES
from amad_bench.plan.config.inputs import RegionInputs
from amad_bench.plan.datafiles import dataset_hash
from amad_bench.plan.run_config import DataOption, DataSpec, UsedDataset, UsedTokenizer
from amad_bench.runtime.devices import CPU
from amad_bench.runtime.machine import process_mib

BATCH = 80  # VL-T5's, for VQA
ROUND, ROUNDS = 30, 7  # batches whose reading is timed, and how often
_PER_IMAGE = 4  # questions that `scenes` asks of an image


def bench_data(records: int, folder: Path) -> list[dict[str, Any]]:
    """One row for a tenth of `records` VQA questions and one for all, so that growth shows.

    Questions are generated and prepared below `folder`, which is kept: calling again only measures. Each
    measurement has a process of its own, because a process never forgets its peak. Columns: records;
    prepare_seconds; first_batch_seconds, from opening the prepared data on; epoch_seconds, one shuffled epoch
    in batches of 80; imports_mib, start_mib, peak_mib: the largest resident memory so far (mapped files
    included) after imports, at the first batch and after the epoch; private_mib (Linux): at the end, without
    mapped files; examples_per_s, naive_per_s: of the loader, and of torch's DataLoader over single examples.
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
    epoch = time.perf_counter() - started
    memory = {"peak_mib": CPU.peak_mib(), "private_mib": process_mib("RssAnon")}
    loader_s, naive_s = _seconds_of_a_round(data)
    return {
        "records": len(data.train),
        "first_batch_seconds": first,
        "epoch_seconds": epoch,
        "imports_mib": imports,
        "start_mib": start,
        **memory,
        "examples_per_s": ROUND * BATCH / loader_s,
        "naive_per_s": ROUND * BATCH / naive_s,
    }


def _seconds_of_a_round(data: TaskData) -> tuple[float, float]:
    """Seconds of ROUND batches by the loader, and by torch's DataLoader in this process, whose default is to
    make each example a tensor and then to stack them; both in turn, the medians."""
    order = list(training_order(data.train, BATCH, ROUND, np.random.default_rng(0)))

    def ours() -> None:
        for _ in batches(data.train, data.images, order, "cpu"):
            pass

    def naive() -> None:
        for _ in DataLoader(_Examples(data), batch_sampler=[rows.tolist() for rows in order]):
            pass

    (ours_s, naive_s), _ = interleaved_seconds([ours, naive], ROUNDS, "cpu")
    return float(np.median(ours_s)), float(np.median(naive_s))


class _Examples(Dataset[dict[str, Tensor]]):
    """A task's training examples one by one, as a DataLoader's user would write it."""

    def __init__(self, data: TaskData) -> None:
        self._data = data

    def __len__(self) -> int:
        return len(self._data.train)

    def __getitem__(self, row: int) -> dict[str, Tensor]:
        split = self._data.train
        ids_L, labels_L = (
            torch.from_numpy(ids[row].astype(np.int64)) for ids in (split.source_ids_NL, split.target_ids_NL)
        )
        images = self._data.images.batch(np.asarray(split.image_rows_N[row : row + 1]), "cpu")
        return {
            "input_ids": ids_L,
            "attention_mask": (ids_L != split.pad).long(),
            "labels": labels_L.masked_fill(labels_L == split.pad, IGNORED),
            **{name: tensor[0] for name, tensor in images.items()},
        }
