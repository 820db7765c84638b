"""The number of runs that one GPU has room for: time and memory are reckoned by their sizes, not measured."""

from amad_bench.plan.cost.data_facts import DataFacts
from amad_bench.plan.cost.run_cost import BACKWARD, pass_cost
from amad_bench.plan.cost.speeds import GPUS
from amad_bench.plan.run_config import RunConfig

MOST = 8
MEMORY = 12e9  # bytes for all runs on a GPU together: what one of 16 GB has left for them
_CONTEXT = 0.75e9  # of a process, for CUDA itself and its libraries
_TRAINED = 16  # bytes of a parameter: weight, gradient, two moments
_FROZEN = 4
# Bytes that a forward pass keeps for the backward one, times its model's width, per operation. Measured:
# 2.3 for BLIP base at 384 px (394 MB an example), 5 for VL-T5 base (78 MB).
_KEPT = 5.0


def runs_per_gpu(config: RunConfig, teacher: RunConfig | None, facts: DataFacts) -> int:
    """8, 4, 2 or 1: the most runs like this one that neither compute more than they wait nor fill the memory.

    A small model keeps a GPU waiting for the CPU that starts its kernels, and others may use that time. It is
    set against the time of the operations of a step on the slowest GPU of the table GPUS, in fp32. 1 where
    nothing is known of a family's costs.
    """
    batch = config.training.batch
    one = pass_cost(config, facts)
    taught = None if teacher is None else pass_cost(teacher, facts)
    if one is None or (teacher is not None and taught is None):
        return 1
    operations = batch * ((1 + BACKWARD) * (one.read + one.write) + one.frozen)
    layers = (1 + BACKWARD) * one.layers
    memory = _CONTEXT + _TRAINED * one.parameters + batch * _KEPT * one.forward / _width(config)
    if taught is not None:
        operations, layers = operations + batch * taught.forward, layers + taught.layers
        memory += _FROZEN * taught.parameters
    speed = min((gpu.speeds[0] for gpu in GPUS), key=lambda speed: speed.operations)
    computed, started = operations / speed.operations, layers * speed.layer_seconds
    room = MOST
    while room > 1 and (room * computed > started or room * memory > MEMORY):
        room //= 2
    return room


def _width(config: RunConfig) -> int:
    model = config.model
    return min([model.width, *(side.width for side in model.other_sides.values())])
