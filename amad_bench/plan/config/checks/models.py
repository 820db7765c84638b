"""Whether a config's models can be: inputs, sizes, numbers of heads, layers to compare."""

from collections.abc import Iterator

from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.catalogue.options import check_options
from amad_bench.plan.config.inputs import INPUTS
from amad_bench.plan.config.models import ModelEntry, ModelSize
from amad_bench.plan.config.schema import Config
from amad_bench.plan.limits import MOST_PARTS


def check_models(config: Config) -> Iterator[str]:
    """Messages without the file's name."""
    for name, entry in config.models.items():
        yield from _options(name, entry)
        yield from _inputs(name, entry)
        yield from _students(name, entry)
        yield from _heads(config, name, entry)
    yield from _layer_map(config)


def _options(name: str, entry: ModelEntry) -> Iterator[str]:
    others = {key: family.name for family in FAMILIES.values() for key in family.options}
    own = FAMILIES[name].options
    foreign = [key for key in entry.given if key in others and key not in own]
    yield from (f"models.{name}.{key}: only {others[key]} has it; remove it" for key in foreign)
    known = {key: value for key, value in entry.given.items() if key not in foreign}
    yield from check_options(f"models.{name}", known, own, tuple(ModelEntry.model_fields))


def _inputs(name: str, entry: ModelEntry) -> Iterator[str]:
    inputs, where = entry.inputs, f"models.{name}.inputs"
    if inputs.gives not in FAMILIES[name].inputs:
        able = " or ".join(kind for kind, known in INPUTS.items() if known.gives in FAMILIES[name].inputs)
        yield f"{where}.kind: {name} sees {able}, found {inputs.kind!r}; write one of these"
    yield from (f"{where}{problem}" for problem in inputs.problems())


def _students(name: str, entry: ModelEntry) -> Iterator[str]:
    if (entry.student is None) == (entry.students is None):
        yield (
            f"models.{name}.student: expected either `student`, one size, or `students`, several by name, "
            f"found {'neither' if entry.student is None else 'both'}"
        )
    first: list[tuple[str, ModelSize]] = []
    for role, key, size in entry.sizes:
        if role == "student":
            if same := next((other for other, earlier in first if earlier == size), None):
                yield f"models.{name}.{key}: the same as models.{name}.{same}; keep one"
            first.append((key, size))


def _heads(config: Config, name: str, entry: ModelEntry) -> Iterator[str]:
    keep = config.heads.keep
    if keep not in FAMILIES[name].keeps:
        yield (f"heads.keep: {name} cannot keep the head size (width = heads x head size); use inner_width")
        return
    for role, key, size in entry.sizes:
        where = f"models.{name}.{key}"
        if keep == "head_size":
            if size.head_size is None:
                yield f"{where}.head_size: missing; `heads.keep: head_size` needs it"
            continue
        if size.head_size is not None:
            yield f"{where}.head_size: only for `heads.keep: head_size`; here it is width / heads, remove it"
        own = f"{where}.heads" if size.heads else f"heads.{role}"
        for heads in config.heads.of(role, size):
            if size.width % heads:
                most = min(size.width, MOST_PARTS)
                divisors = ", ".join(str(n) for n in range(1, most + 1) if size.width % n == 0)
                yield (
                    f"{where}.width: {name} with width {size.width} cannot have {heads} heads ({own}): "
                    f"the width must divide by the heads; possible: {divisors}"
                )


def _layer_map(config: Config) -> Iterator[str]:
    """An assistant, which teaches, has the layers of a student."""
    if isinstance(config.layer_map, str):
        return
    assistants = any(entry.assistant for entry in config.losses)
    families = dict.fromkeys(entry.family for entry in config.tasks if entry.family in config.models)
    for index, (student, teacher) in enumerate(config.layer_map):
        for family in families:
            for role, key, size in config.models[family].sizes:
                layer, where = teacher if role == "teacher" else student, f"layer_map[{index}]"
                if layer >= size.layers:
                    yield (
                        f"{where}: layer {layer} of the {role} does not exist, models.{family}.{key} has "
                        f"{size.layers} layers, counted from 0"
                    )
                if assistants and role == "student" and teacher >= size.layers:
                    yield (
                        f"{where}: layer {teacher} of the teacher does not exist in an assistant, which has "
                        f"the {size.layers} layers of models.{family}.{key}"
                    )
