"""Examples that a training uses, and whether its loss can compare their maps."""

from dataclasses import replace

from amad_bench.data.tasks.data import TaskData
from amad_bench.plan.run import Run
from amad_bench.runtime.errors import UserError
from amad_bench.training.distill import Objective


def trained_examples(run: Run, data: TaskData, objective: Objective) -> TaskData:
    """The data with no more training examples than the run asks for.

    UserError: it asks for more than there are, or its loss takes maps of one size, which batches do not have.
    """
    config, examples = run.config, run.config.training.examples
    if examples != "all":
        if examples > len(data.train):
            raise UserError(
                f"training.examples of {run.id}: {examples} asked for, the training split has "
                f"{len(data.train)}; lower it or write all"
            )
        data = replace(data, train=data.train.first(examples))
    loss = config.loss
    if loss.options.get("variant") == "projected" and data.train.mostly_padding:
        varying = [site for site in objective.sites if site != "vision.self"]
        if varying:
            raise UserError(
                f"loss {loss.label} needs maps of one size, but at {varying[0]} the batches of "
                f"{config.dataset.name} have lengths of their own; use kl, mse or token"
            )
    return data
