"""Blocks that share no run with each other: they have seeds, and generated images, of their own."""

from typing import cast

from amad_bench.plan.config.schema import Config, TaskEntry
from amad_bench.plan.datafiles import dataset_hash
from amad_bench.plan.run_config import Block, DataSpec
from amad_bench.plan.seeds import seed


def has_own_images(config: Config, dataset: str) -> bool:
    """Whether each block of this data set has images of its own; those of a real one are one draw for all."""
    return config.scenes_per == "block" and "seed" in config.record(dataset).options


def block_data(config: Config, entry: TaskEntry, data: DataSpec, block: Block) -> DataSpec:
    """An entry's data with images of the block's own; without a hash, the answer has none either."""
    dataset = data.dataset
    asked = cast("int", dataset.options["seed"])
    drawn = seed("scenes", config.seed, asked, *entry.axes, *block_parts(block))
    options = {**dataset.options, "seed": drawn}
    known = None if dataset.hash is None else dataset_hash(dataset.name, options, ())
    return data.model_copy(update={"dataset": dataset.model_copy(update={"options": options, "hash": known})})


def block_parts(block: Block) -> tuple[int, int, str]:
    """Parts of a seed that name the block."""
    return block.teacher_heads, block.student_heads, block.student
