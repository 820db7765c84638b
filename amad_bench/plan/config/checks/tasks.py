"""Whether a config's task entries can be trained: models, data, sites, tokenizers."""

from collections.abc import Iterator

from amad_bench.plan.catalogue import FAMILIES, LOSSES, TASKS
from amad_bench.plan.config.checks.pretraining import check_evaluations
from amad_bench.plan.config.schema import Config, TaskEntry
from amad_bench.plan.shown import unknown


def check_tasks(config: Config) -> Iterator[str]:
    """Messages about `tasks`, and about the `sites` that their models have."""
    yield from _sites(config)
    seen: dict[tuple[str, str, str], str] = {}
    for index, entry in enumerate(config.tasks):
        where = f"tasks[{index}]"
        family, task, dataset = entry.axes
        if family not in config.models:
            yield f"{where}.family: models.{family} is missing; say there how large the models are"
        if dataset not in config.datasets:
            yield f"{where}.dataset: datasets.{dataset} is missing; add it (`{dataset}: {{}}`: its defaults)"
        yield from _family_and_task(config, where, entry)
        if task not in (tasks := config.record(dataset).tasks):
            yield f"{where}.task: {dataset} has no {task}; its tasks: {', '.join(tasks)}"
        yield from _tokenizer(where, entry)
        if family in config.models:
            yield from _images(config, where, entry)
        yield from _rank(where, entry)
        for condition in config.student_pretraining_of(entry):
            if condition not in config.pretraining.student:
                yield (
                    f"{where}.student_pretraining: {condition} is none of pretraining.student, which is "
                    f"{', '.join(config.pretraining.student)}; add it there, or remove it here"
                )
        if (first := seen.setdefault(entry.axes, where)) != where:
            yield f"{where}: {family}, {task}, {dataset} stand in {first} already; keep one"
        for role, training in (("teacher", entry.teacher), ("student", entry.student)):
            yield from check_evaluations(f"{where}.{role}", training)


def _sites(config: Config) -> Iterator[str]:
    for family, sites in config.sites.items():
        known = FAMILIES[family].all_sites
        for index, site in enumerate(sites):
            if site not in known:
                yield f"sites.{family}[{index}]: {unknown(f'site of {family}', site, known)}"


def _family_and_task(config: Config, where: str, entry: TaskEntry) -> Iterator[str]:
    family, task, _ = entry.axes
    sites = FAMILIES[family].sites
    if task not in sites:
        yield f"{where}.task: {family} has no {task}; its tasks: {', '.join(sites)}"
        return
    wanted = config.sites.get(family, [])
    losses = [loss.name for loss in config.losses if LOSSES[loss.name].attention]
    if losses and not wanted:
        yield f"sites.{family}: missing; {losses[0]} compares attention there, for example [{sites[task][0]}]"
    for site in wanted:
        if site in FAMILIES[family].all_sites and site not in sites[task]:
            yield f"sites.{family}: {task} ({where}) has no site {site}; it has {', '.join(sites[task])}"


def _tokenizer(where: str, entry: TaskEntry) -> Iterator[str]:
    if (entry.vocabulary is None) == (entry.tokenizer is None):
        yield (
            f"{where}.vocabulary: expected either `vocabulary` (a tokenizer is trained) or `tokenizer` (the "
            f"folder of a pretrained one), found {'neither' if entry.vocabulary is None else 'both'}"
        )


def _rank(where: str, entry: TaskEntry) -> Iterator[str]:
    own = FAMILIES[entry.family].by_task.get(entry.task)
    if entry.decoding.rank is not None and not (own and own.ranks):
        able = ", ".join(
            f"{family.label}'s {TASKS[task].label}"
            for family in FAMILIES.values()
            for task, record in family.by_task.items()
            if record.ranks
        )
        yield f"{where}.decoding.rank: only {able} ranks answers; remove it"


def _images(config: Config, where: str, entry: TaskEntry) -> Iterator[str]:
    inputs, (family, _, dataset) = config.models[entry.family].inputs, entry.axes
    if entry.image_size is not None and (problem := inputs.size_problem(entry.image_size)):
        yield f"{where}.image_size: {problem}"
    given = config.datasets.get(dataset)
    if inputs.reads == "features" and given is not None and not given.features:
        yield (
            f"datasets.{dataset}.features: missing; {family} sees precomputed features ({where}): list "
            "their files below AMAD_DATA, or choose another kind of inputs"
        )
    if inputs.needs_boxes and not config.record(dataset).has_boxes:
        yield f"{where}.dataset: {dataset} comes without boxes; set models.{family}.inputs.boxes to grid"
