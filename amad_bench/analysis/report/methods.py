"""Methods text, made of a config and its plan: training, losses, tests."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from amad_bench.analysis.significance.outcome import ALPHA
from amad_bench.plan import catalogue
from amad_bench.plan.config.schema import Config
from amad_bench.plan.plan import Plan
from amad_bench.plan.run import Run
from amad_bench.plan.run_config import RunConfig, UsedLoss
from amad_bench.plan.shown import shown as quoted

_TEACHERS = {
    "sweep": "One teacher taught all replicates and all head counts that can share it: statements are about "
    "this teacher, and blocks that share one count as one.",
    "block": "Each block has a teacher of its own, which taught all its replicates.",
    "replicate": "Each replicate has a teacher of its own: statements are about teachers of this kind.",
}
_SCENES = {
    "sweep": "All blocks of generated scenes see the same images.",
    "block": "Each block of generated scenes has images of its own.",
}


@dataclass(frozen=True)
class ShownLoss:
    """A loss as it was used. compares: what, with its formula. says: options, weights, sites, layer map."""

    label: str
    compares: str
    says: list[str]


def training(config: Config, plan: Plan) -> list[str]:
    """Sentences about how models were trained and scored."""
    students = [run for run in plan.runs if run.kind == "student"]
    sentences = [
        "All losses of a replicate share the student's initial weights, the order of the data and the "
        "dropout stream: seeds are hashes of their names, of the replicate's number and of the config's "
        f"seed, {config.seed}.",
        _TEACHERS[config.teacher_per],
    ]
    if any(run.config.dataset.record.generated for run in students):
        sentences.append(_SCENES[config.scenes_per])
    by_task: dict[tuple[str, str, str], list[RunConfig]] = {}
    for run in students:
        used = run.config
        by_task.setdefault((used.family, used.task, used.dataset.name), []).append(used)
    sentences += [_trained(*axes, configs) for axes, configs in by_task.items()]
    return [
        *sentences,
        "The weights of the best validation score (the share of target tokens predicted right) were scored; "
        "the test split was read once.",
    ]


def _trained(family: str, task: str, dataset: str, students: Sequence[RunConfig]) -> str:
    labels = (
        catalogue.FAMILIES[family].label,
        catalogue.TASKS[task].label,
        catalogue.label_of(dataset),
    )
    trained = [student.training for student in students]
    steps = sorted({training.steps for training in trained})
    examples = _each("all" if part.examples == "all" else f"{part.examples:,}" for part in trained)
    beams = _each(f"{student.answers.beams}" for student in students)
    return (
        f"{', '.join(labels)}: students were trained for "
        f"{'–'.join(dict.fromkeys(f'{end:,}' for end in (steps[0], steps[-1])))} steps of "
        f"{_each(str(training.batch) for training in trained)} examples, out of {examples}, at a learning "
        f"rate of {_each(f'{training.learning_rate:g}' for training in trained)} in "
        f"{_each(student.precision for student in students)}; they were decoded "
        f"{'greedily' if beams == '1' else f'with {beams} beams'}."
    )


def _each(values: Iterable[str]) -> str:
    """All that occur, each once."""
    return " or ".join(dict.fromkeys(values))


def losses(plan: Plan) -> list[ShownLoss]:
    """The losses of the students, each label once, in the order of the plan."""
    used: dict[str, list[Run]] = {}
    for run in plan.runs:
        if run.kind == "student":
            used.setdefault(run.config.loss.label, []).append(run)
    return [_shown(runs) for runs in used.values()]


def _shown(runs: list[Run]) -> ShownLoss:
    loss = runs[0].config.loss
    says = [", ".join(f"{name} {_value(value)}" for name, value in loss.options.items())]
    if len(loss.loss_weights) > 1:
        says.append(
            "weights " + ", ".join(f"{part} {weight:g}" for part, weight in loss.loss_weights.items())
        )
    if loss.logit_temperature is not None:
        says.append(f"temperature {loss.logit_temperature:g} of the logits beside it")
    says += dict.fromkeys(_where(run.config.family, run.config.loss) for run in runs)
    return ShownLoss(loss.label, catalogue.LOSSES[loss.name].compares, [text for text in says if text])


def _where(family: str, loss: UsedLoss) -> str:
    """Sites and layers that it compares in a family's models."""
    if not loss.sites:
        return ""
    mapped = loss.layer_map if isinstance(loss.layer_map, str) else _value(loss.layer_map)
    layers = "" if loss.layer_map is None else f", layer map {mapped}"
    return f"{catalogue.FAMILIES[family].label}: {', '.join(loss.sites)}{layers}"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else quoted(value)


STATISTICS = [
    "A pair in one setting is compared on the same replicates and test examples. Its difference varies with "
    "seeds and with images: both parts of the variance come from the two-way table of its delete-one-image "
    f"pseudo-values. The critical value at level {ALPHA:g} is the mean of two of Student's t, with the "
    "degrees of freedom of either, weighted by their parts (Cochran and Cox 1950).",
    "The contrasts of a setting are one family: Holm's adjusted p decides the statement. “Inconclusive” "
    "names the difference that the design shows with 80 % power, at the level that one more contrast of the "
    "family would have needed.",
    "Across blocks, the mean difference of each block is one observation of a t-test. Blocks that share "
    "a teacher or the data order are averaged first and count as one; five blocks are needed.",
    "A registered claim is supported where each of its parts has a one-sided p of at most half its level, "
    "contradicted where some part is significantly worse (after Holm), else inconclusive.",
    "Where failed runs, scored like the majority answer, would change a verdict, it is inconclusive.",
]
NOT_REPAIRED = [
    "A loss whose runs are skewed, or collapse in a tenth of the seeds: it is found to differ where it does "
    "not in 10 to 45 % of all sweeps, where 5 % were meant, even with ten seeds. Training so long that runs "
    "are not of two kinds is a matter of design; look at the spread over seeds and the failed runs.",
    "One pair of runs: a difference between two runs holds for these two, and as a statement about their "
    "losses it is wrong in more than half of all cases.",
    "One teacher, one pre-training run, one data set: what is said holds for that one, however many students "
    "it has.",
    "A choice made after looking at these numbers: what no claim registered before the run is exploratory.",
]
