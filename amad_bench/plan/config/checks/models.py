"""Whether a config's models can be: inputs, sizes, numbers of heads, layers to compare."""

from collections.abc import Iterator

from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.catalogue.options import check_options
from amad_bench.plan.config.inputs import INPUTS
from amad_bench.plan.config.models import ModelEntry, ModelSize, SideSize
from amad_bench.plan.config.schema import Config
from amad_bench.plan.limits import MOST_PARTS


def check_models(config: Config) -> Iterator[str]:
    """Messages without the file's name."""
    for name, entry in config.models.items():
        yield from _options(name, entry)
        yield from _inputs(name, entry)
        yield from _students(config, name, entry)
        yield from _heads(config, name, entry)
    yield from _layer_map(config)


def _options(name: str, entry: ModelEntry) -> Iterator[str]:
    others = {key: f"only {family.name} has it" for family in FAMILIES.values() for key in family.options}
    own, also = FAMILIES[name].options, tuple(ModelEntry.model_fields)
    yield from check_options(f"models.{name}", entry.given, own, also, others)


def _inputs(name: str, entry: ModelEntry) -> Iterator[str]:
    inputs, where = entry.inputs, f"models.{name}.inputs"
    if inputs.gives not in FAMILIES[name].inputs:
        able = " or ".join(kind for kind, known in INPUTS.items() if known.gives in FAMILIES[name].inputs)
        yield f"{where}.kind: {name} sees {able}, found {inputs.kind!r}; write one of these"
    yield from (f"{where}{problem}" for problem in inputs.problems())


def _students(config: Config, name: str, entry: ModelEntry) -> Iterator[str]:
    if (entry.student is None) == (entry.students is None):
        yield (
            f"models.{name}.student: expected either `student`, one size, or `students`, several by name, "
            f"found {'neither' if entry.student is None else 'both'}"
        )
    first: list[tuple[str, dict[str, int]]] = []
    for role, key, size in entry.sizes:
        if role == "student":
            meant = {_meant(config, name, size, heads): heads for heads in config.heads_of(name, role, size)}
            for other, earlier in first:
                if same := [heads for model, heads in meant.items() if model in earlier]:
                    counts = ", ".join(map(str, same))
                    which = "" if len(same) == len(meant) == len(earlier) else f"with {counts} heads "
                    yield f"models.{name}.{key}: {which}the same as models.{name}.{other}; keep one"
                    break
            first.append((key, meant))


def _meant(config: Config, family: str, size: ModelSize, heads: int) -> str:
    """Contents that two spellings of one student share: sides that are alike may be named, or not."""
    swept, whole = config.swept_sides(family, size), size.sides.get("")
    named = [(name, size.sides.get(name, whole)) for name in FAMILIES[family].sides or ("",)]
    sides = [
        (side.layers, side.width, side.feed_forward, [heads] if whole or name in swept else side.heads)
        for name, side in named
        if side is not None
    ]
    return repr((sides, size.model_dump(exclude={*SideSize.model_fields, "vision", "text"})))


def _heads(config: Config, name: str, entry: ModelEntry) -> Iterator[str]:
    keep = config.heads.keep
    if keep not in FAMILIES[name].keeps:
        yield (f"heads.keep: {name} cannot keep the head size (width = heads x head size); use inner_width")
        return
    for role, key, size in entry.sizes:
        where = f"models.{name}.{key}"
        yield from _sides(config, name, where, size, role)
        if keep == "head_size":
            if size.head_size is None:
                yield f"{where}.head_size: missing; `heads.keep: head_size` needs it"
            continue
        if size.head_size is not None:
            yield f"{where}.head_size: only for `heads.keep: head_size`; here it is width / heads, remove it"
        for at, who, side, counts in _counts(config, name, where, size, role):
            own = f"{at}.heads" if side.heads else f"heads.{role}"
            for heads in counts:
                if side.width % heads:
                    most = min(side.width, MOST_PARTS)
                    divisors = ", ".join(str(n) for n in range(1, most + 1) if side.width % n == 0)
                    yield (
                        f"{at}.width: {who} with width {side.width} cannot have {heads} heads ({own}): "
                        f"the width must divide by the heads; possible: {divisors}"
                    )


def _counts(
    config: Config, family: str, where: str, size: ModelSize, role: str
) -> Iterator[tuple[str, str, SideSize, list[int]]]:
    """Key, phrase, sizes and numbers of heads of each side."""
    swept = config.swept_sides(family, size)
    for name, side in size.sides.items():
        at, who = (f"{where}.{name}", f"{family}'s {name} side") if name else (where, family)
        yield at, who, side, side.heads or (config.heads.of(role) if name in swept else [])


def _sides(config: Config, family: str, where: str, size: ModelSize, role: str) -> Iterator[str]:
    """Sides are named all or none; only the heads of those that `sites` compares are swept."""
    named, known = size.named_sides, FAMILIES[family].sides
    if not named:
        return
    for name in named:
        if name not in known:
            which = f"has only {' and '.join(known)}" if known else "has no sides of different sizes"
            yield f"{where}.{name}: {family} {which}; remove it"
    for name in known:
        if name not in named:
            yield f"{where}.{name}: missing; where one side of {family} is named, the other is, too"
    if known.keys() != named.keys():
        return
    swept = config.swept_sides(family, size)
    if not swept:
        yield (
            f"sites.{family}: names no site of a side, and {where} has heads of its own for each: sites say "
            f"whose heads are swept; add one, for example {next(iter(known.values()))[0]}"
        )
        return
    for name in [name for name in named if name in known and name not in swept]:
        heads, which = named[name].heads, f"sites.{family} compares {swept[0]} alone, whose heads are swept"
        if heads is None:
            yield f"{where}.{name}.heads: missing; {which}: give the one number that this side has"
        elif len(heads) > 1:
            found = ", ".join(map(str, heads))
            yield f"{where}.{name}.heads: expected one number, found {found}; {which}: keep one"
    counts = {name: named[name].heads or config.heads.of(role) for name in swept}
    if len({tuple(heads) for heads in counts.values()}) > 1:
        found = ", ".join(f"{heads} ({name})" for name, heads in counts.items())
        yield (
            f"{where}: sites.{family} compares {' and '.join(swept)}, whose heads are swept together, but "
            f"their numbers differ: {found}; give both the same, or compare one side"
        )


def _layer_map(config: Config) -> Iterator[str]:
    """Layers of the sides that are compared; an assistant, which teaches, has the layers of a student."""
    if isinstance(config.layer_map, str):
        return
    assistants = any(entry.assistant for entry in config.losses)
    families = dict.fromkeys(entry.family for entry in config.tasks if entry.family in config.models)
    for index, (student, teacher) in enumerate(config.layer_map):
        for family in families:
            for role, at, layers in _depths(config, family):
                layer, where = teacher if role == "teacher" else student, f"layer_map[{index}]"
                if layer >= layers:
                    yield (
                        f"{where}: layer {layer} of the {role} does not exist, {at} has {layers} layers, "
                        "counted from 0"
                    )
                if assistants and role == "student" and teacher >= layers:
                    yield (
                        f"{where}: layer {teacher} of the teacher does not exist in an assistant, which has "
                        f"the {layers} layers of {at}"
                    )


def _depths(config: Config, family: str) -> Iterator[tuple[str, str, int]]:
    """Role, key and number of layers of each side that is compared."""
    for role, key, size in config.models[family].sizes:
        for name in config.swept_sides(family, size):
            at = f"models.{family}.{key}" + (f".{name}" if name else "")
            yield role, at, size.sides[name].layers
