"""Devices that a run is trained on."""

from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.run import Run
from amad_bench.runtime.errors import UserError


def devices_of(run: Run, gpus_per_run: int) -> int:
    """How many; a pre-training has one, whatever the config's `gpus_per_run` is.

    UserError where more are asked for than a batch has examples, and for a pre-training that tells the images
    of a batch apart, in which all of them must be on one device.
    """
    if gpus_per_run == 1:
        return 1
    config = run.config
    if run.kind == "pretrain":
        if FAMILIES[config.family].pretraining[config.pretraining].contrasts:
            raise UserError(
                f"gpus_per_run: {gpus_per_run} cannot be used for {run.id}: its loss contrasts all images of "
                "a batch, which must be on one GPU; train it with gpus_per_run: 1, then raise it for the rest"
            )
        return 1
    if config.training.batch < gpus_per_run:
        raise UserError(
            f"gpus_per_run: {gpus_per_run}, but a batch of {run.id} has {config.training.batch} examples; "
            "lower gpus_per_run"
        )
    return gpus_per_run
