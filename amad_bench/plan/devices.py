"""Devices that a run is trained on."""

from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.run import Run
from amad_bench.runtime.errors import UserError


def devices_asked(run: Run, gpus_per_run: int) -> int:
    """Number that the config means; a pre-training has one, whatever its `gpus_per_run` is."""
    return 1 if run.kind == "pretrain" else gpus_per_run


def devices_of(run: Run, gpus_per_run: int) -> int:
    """Number that it can be trained on: `devices_asked`.

    UserError where more are asked for than a batch has examples, and for a pre-training that tells the images
    of a batch apart, in which all of them must be on one device.
    """
    config = run.config
    if run.kind == "pretrain":
        contrasts = FAMILIES[config.family].pretraining[config.pretraining].contrasts
        if contrasts and gpus_per_run > 1:
            raise UserError(
                f"gpus_per_run: {gpus_per_run} cannot be used for {run.id}: its loss contrasts all images of "
                "a batch, which must be on one GPU; train it with gpus_per_run: 1, then raise it for the rest"
            )
    elif config.training.batch < gpus_per_run:
        raise UserError(
            f"gpus_per_run: {gpus_per_run}, but a batch of {run.id} has {config.training.batch} examples; "
            "lower gpus_per_run"
        )
    return devices_asked(run, gpus_per_run)
