"""What a config's values must mean together: names of the catalogue, options, head counts, sites.

Works on the raw file and looks only at values of the right type, so that these mistakes are reported together
with those of keys and types (plan/messages.py), which it leaves alone.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from amad_bench.plan.catalogue import (
    DATASETS,
    EXTRA_METRICS,
    FAMILIES,
    LAYER_MAPS,
    LOSSES,
    TASKS,
)
from amad_bench.plan.loss_checks import check_losses
from amad_bench.plan.messages import shown
from amad_bench.plan.model_checks import check_models, student_sizes
from amad_bench.plan.pretraining_checks import check_pretraining
from amad_bench.plan.raw import (
    cells_of,
    check_options,
    entries_at,
    is_count,
    list_at,
    mapping_at,
    repeated,
    unknown_name,
)
from amad_bench.runtime.errors import did_you_mean

ROLES = ("teacher", "student")


def check_meaning(raw: Mapping[Any, Any]) -> list[str]:
    """Messages without the file's name, in the order of the file's usual keys."""
    return [
        *_datasets(raw),
        *check_models(raw),
        *check_pretraining(raw),
        *check_losses(raw),
        *_sites(raw),
        *_layer_map(raw),
        *_cells(raw),
        *_extra_metrics(raw),
    ]


def _name(cell: Mapping[Any, Any], key: str, known: Mapping[str, Any]) -> str | None:
    value = cell.get(key)
    return value if isinstance(value, str) and value in known else None


def _datasets(raw: Mapping[Any, Any]) -> Iterator[str]:
    for name, entry in entries_at(raw, "datasets"):
        if name not in DATASETS:
            yield unknown_name(f"datasets.{name}", "data set", name, DATASETS)
        elif isinstance(entry, Mapping):
            yield from check_options(f"datasets.{name}", entry, DATASETS[name].options, ("limit", "features"))


def _attention_losses(raw: Mapping[Any, Any]) -> list[str]:
    names = [entry.get("name") for entry in list_at(raw, "losses") if isinstance(entry, Mapping)]
    return [name for name in names if isinstance(name, str) and name in LOSSES and LOSSES[name].attention]


def _sites(raw: Mapping[Any, Any]) -> Iterator[str]:
    known = {
        name: tuple(dict.fromkeys(s for sites in f.sites.values() for s in sites))
        for name, f in FAMILIES.items()
    }
    for name, _ in entries_at(raw, "sites"):
        if name not in FAMILIES:
            yield unknown_name(f"sites.{name}", "family", name, FAMILIES)
            continue
        sites = list_at(raw, "sites", name)
        yield from repeated(f"sites.{name}", sites)
        for index, site in enumerate(sites):
            if isinstance(site, str) and site not in known[name]:
                yield unknown_name(f"sites.{name}[{index}]", f"site of {name}", site, known[name])


def _layer_map(raw: Mapping[Any, Any]) -> Iterator[str]:
    value = raw.get("layer_map", "last")
    expected = "layer_map: expected last, uniform or a list of [student, teacher] pairs, found"
    if isinstance(value, str):
        if value not in LAYER_MAPS:
            hint = did_you_mean(value, LAYER_MAPS)
            yield f"{expected} {value!r}.{hint}"
        return
    if not isinstance(value, list) or not value:
        yield f"{expected} {shown(value)}"
        return
    yield from repeated("layer_map", value)
    families = dict.fromkeys(name for _, cell in cells_of(raw) if (name := _name(cell, "family", FAMILIES)))
    for index, pair in enumerate(value):
        where = f"layer_map[{index}]"
        numbers = isinstance(pair, list) and len(pair) == 2 and all(is_count(n) or n == 0 for n in pair)
        if not numbers or any(isinstance(n, bool | float) for n in pair):
            yield f"{where}: expected [student layer, teacher layer], counted from 0, found {shown(pair)}"
            continue
        for family in families:
            entry = mapping_at(raw, "models", family)
            students = [("student", pair[0], *found) for found in student_sizes(entry)]
            for role, layer, key, size in [
                *students,
                ("teacher", pair[1], "teacher", mapping_at(entry, "teacher")),
            ]:
                layers = size.get("layers")
                if is_count(layers) and layer >= layers:
                    yield (
                        f"{where}: layer {layer} of the {role} does not exist, models.{family}.{key} has "
                        f"{layers} layers, counted from 0"
                    )
            for key, size in student_sizes(entry):
                layers = size.get("layers")
                if _has_assistants(raw) and is_count(layers) and pair[1] >= layers:
                    yield (
                        f"{where}: layer {pair[1]} of the teacher does not exist in an assistant, which has "
                        f"the {layers} layers of models.{family}.{key}"
                    )


def _has_assistants(raw: Mapping[Any, Any]) -> bool:
    return any(isinstance(entry, Mapping) and entry.get("assistant") for entry in list_at(raw, "losses"))


def _cells(raw: Mapping[Any, Any]) -> Iterator[str]:
    seen: dict[tuple[str, str, str], str] = {}
    for where, cell in cells_of(raw):
        for key, what, records in (
            ("family", "family", FAMILIES),
            ("task", "task", TASKS),
            ("dataset", "data set", DATASETS),
        ):
            if isinstance(cell.get(key), str) and cell[key] not in records:
                yield unknown_name(f"{where}.{key}", what, cell[key], records)
        family, task = _name(cell, "family", FAMILIES), _name(cell, "task", TASKS)
        dataset = _name(cell, "dataset", DATASETS)
        if family and "models" in raw and family not in mapping_at(raw, "models"):
            yield f"{where}.family: models.{family} is missing; say there how large the models are"
        if dataset and "datasets" in raw and dataset not in mapping_at(raw, "datasets"):
            yield f"{where}.dataset: datasets.{dataset} is missing; add it (`{dataset}: {{}}`: its defaults)"
        if family and task:
            yield from _family_and_task(raw, where, family, task)
        if dataset and task and task not in DATASETS[dataset].tasks:
            yield f"{where}.task: {dataset} has no {task}; its tasks: {', '.join(DATASETS[dataset].tasks)}"
        yield from _tokenizer(where, cell)
        yield from _image_size(
            where, cell.get("image_size"), mapping_at(raw, "models", family or "", "inputs")
        )
        if (family, task) != ("blip", "vqa") and mapping_at(cell, "decoding").get("rank") is not None:
            yield f"{where}.decoding.rank: only BLIP's VQA ranks answers; remove it"
        inputs = mapping_at(raw, "models", family or "", "inputs")
        boxes = inputs.get("boxes")
        has_features = bool(list_at(raw, "datasets", dataset or "", "features"))
        if family and dataset and inputs.get("kind") == "features" and not has_features:
            yield (
                f"datasets.{dataset}.features: missing; {family} sees precomputed features ({where}): list "
                "their files below AMAD_DATA, or choose another kind of inputs"
            )
        if family and dataset and boxes == "file" and not DATASETS[dataset].has_boxes:
            yield f"{where}.dataset: {dataset} comes without boxes; set models.{family}.inputs.boxes to grid"
        if family and task and dataset:
            key = (family, task, dataset)
            if key in seen:
                yield f"{where}: {family}, {task}, {dataset} stand in {seen[key]} already; keep one"
            seen.setdefault(key, where)
        for role in ROLES:
            steps, evaluations = (mapping_at(cell, role).get(key) for key in ("steps", "evaluations"))
            if is_count(steps) and is_count(evaluations) and evaluations > steps:
                yield f"{where}.{role}.evaluations: {evaluations} are more than the {steps} steps; lower them"


def _tokenizer(where: str, cell: Mapping[Any, Any]) -> Iterator[str]:
    given = [key for key in ("vocabulary", "tokenizer") if cell.get(key) is not None]
    if len(given) != 1:
        yield (
            f"{where}.vocabulary: expected either `vocabulary` (a tokenizer is trained) or `tokenizer` (the "
            f"folder of a pretrained one), found {'both' if given else 'neither'}"
        )


def _image_size(where: str, size: Any, inputs: Mapping[Any, Any]) -> Iterator[str]:
    if size is None or not inputs:
        return
    patch = inputs.get("patch")
    if inputs.get("kind") != "pixels":
        yield f"{where}.image_size: only for models that see pixels; remove it"
    elif is_count(size) and is_count(patch) and size % patch:
        yield f"{where}.image_size: {size} is no multiple of the patch size {patch}; change it"


def _extra_metrics(raw: Mapping[Any, Any]) -> Iterator[str]:
    names = list_at(raw, "extra_metrics")
    yield from repeated("extra_metrics", names)
    for index, name in enumerate(names):
        if isinstance(name, str) and name not in EXTRA_METRICS:
            yield unknown_name(f"extra_metrics[{index}]", "extra metric", name, EXTRA_METRICS)


def _family_and_task(raw: Mapping[Any, Any], where: str, family: str, task: str) -> Iterator[str]:
    sites = FAMILIES[family].sites
    if task not in sites:
        yield f"{where}.task: {family} has no {task}; its tasks: {', '.join(sites)}"
        return
    wanted = list_at(raw, "sites", family)
    losses = _attention_losses(raw)
    if losses and not wanted:
        yield f"sites.{family}: missing; {losses[0]} compares attention there, for example [{sites[task][0]}]"
    for site in wanted:
        elsewhere = any(site in others for others in sites.values())  # unknown ones are reported by _sites
        if isinstance(site, str) and elsewhere and site not in sites[task]:
            yield f"sites.{family}: {task} ({where}) has no site {site}; it has {', '.join(sites[task])}"
