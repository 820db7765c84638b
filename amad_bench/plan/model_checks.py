"""What a config's models must mean: what they see, their sizes and numbers of heads."""

from collections.abc import Iterator, Mapping
from typing import Any

from amad_bench.plan.catalogue import FAMILIES
from amad_bench.plan.limits import MOST_PARTS
from amad_bench.plan.messages import UNION_TAGS
from amad_bench.plan.raw import entries_at, is_count, list_at, mapping_at, repeated, unknown_name

REGION_KEYS = ("order_embedding", "box_area")  # of VL-T5 alone
ROLES = ("teacher", "student")


def check_models(raw: Mapping[Any, Any]) -> Iterator[str]:
    """Messages without the file's name."""
    for name, entry in entries_at(raw, "models"):
        if name not in FAMILIES:
            yield unknown_name(f"models.{name}", "family", name, FAMILIES)
            continue
        yield from _inputs(name, entry)
        yield from _students(name, entry)
    yield from _heads(raw)


def student_sizes(entry: Any) -> list[tuple[str, Mapping[Any, Any]]]:
    """(key below the family, size) of each student size."""
    several = [(f"students.{key}", size) for key, size in entries_at(entry, "students")]
    found = several or [("student", mapping_at(entry, "student"))]
    return [(key, size) for key, size in found if isinstance(size, Mapping)]


def sizes(entry: Any) -> list[tuple[str, str, Mapping[Any, Any]]]:
    """(role, key below the family, size) of all models of a family."""
    students = [("student", key, size) for key, size in student_sizes(entry)]
    return [("teacher", "teacher", mapping_at(entry, "teacher")), *students]


def heads_of(raw: Mapping[Any, Any], role: str, size: Mapping[Any, Any]) -> list[Any]:
    """The numbers of heads of a size: its own, or the config's."""
    return list_at(size, "heads") or list_at(raw, "heads", role)


def _inputs(name: str, entry: Any) -> Iterator[str]:
    inputs, where = mapping_at(entry, "inputs"), f"models.{name}.inputs"
    kind, expected = inputs.get("kind"), FAMILIES[name].inputs
    if kind in UNION_TAGS and kind not in expected:
        yield f"{where}.kind: {name} sees {' or '.join(expected)}, found {kind!r}; write one of these"
    size, patch = inputs.get("size"), inputs.get("patch")
    if is_count(size) and is_count(patch) and size % patch:
        yield f"{where}.size: {size} is no multiple of the patch size {patch}; change one of them"
    yield from _grid(where, inputs)
    for key in REGION_KEYS:
        if name != "vlt5" and isinstance(entry, Mapping) and entry.get(key) is not None:
            yield f"models.{name}.{key}: only vlt5 has regions; remove it"


def _grid(where: str, inputs: Mapping[Any, Any]) -> Iterator[str]:
    sides = [key for key in ("rows", "columns") if inputs.get(key) is not None]
    if inputs.get("boxes") == "file" and sides:
        yield f"{where}.{sides[0]}: only `boxes: grid` has rows and columns; remove them"
    if inputs.get("boxes") == "grid":
        rows, columns, regions = (inputs.get(key) for key in ("rows", "columns", "max_regions"))
        if len(sides) < 2:
            yield f"{where}: `boxes: grid` needs rows and columns; add them"
        elif is_count(rows) and is_count(columns) and is_count(regions) and rows * columns > regions:
            yield f"{where}.max_regions: {regions} is less than {rows} x {columns} boxes; raise it"


def _students(name: str, entry: Any) -> Iterator[str]:
    given = [
        key for key in ("student", "students") if isinstance(entry, Mapping) and entry.get(key) is not None
    ]
    if isinstance(entry, Mapping) and len(given) != 1:
        yield (
            f"models.{name}.student: expected either `student`, one size, or `students`, several by name, "
            f"found {'both' if given else 'neither'}"
        )
    found = student_sizes(entry)
    for number, (key, size) in enumerate(found):
        if same := next((other for other, earlier in found[:number] if earlier == size), None):
            yield f"models.{name}.{key}: the same as models.{name}.{same}; keep one"


def _heads(raw: Mapping[Any, Any]) -> Iterator[str]:
    fix = raw.get("fix", "inner_width")
    for role in ROLES:
        yield from repeated(f"heads.{role}", list_at(raw, "heads", role))
    for name, entry in entries_at(raw, "models"):
        if name not in FAMILIES:
            continue
        for _, key, size in sizes(entry):
            yield from repeated(f"models.{name}.{key}.heads", list_at(size, "heads"))
        if isinstance(fix, str) and fix not in FAMILIES[name].fix:
            if fix == "head_size":
                yield f"fix: {name} cannot keep the head size (width = heads x head size); use inner_width"
            continue
        for role, key, size in sizes(entry):
            where = f"models.{name}.{key}"
            if fix == "head_size":
                if size and size.get("head_size") is None:
                    yield f"{where}.head_size: missing; `fix: head_size` needs it"
                continue
            if size.get("head_size") is not None:
                yield f"{where}.head_size: only for `fix: head_size`; here it is width / heads, remove it"
            own = f"{where}.heads" if list_at(size, "heads") else f"heads.{role}"
            yield from _divisible(where, name, size.get("width"), heads_of(raw, role, size), own)


def _divisible(where: str, name: str, width: Any, all_heads: list[Any], from_key: str) -> Iterator[str]:
    for heads in all_heads:
        if is_count(width) and is_count(heads) and width % heads:
            divisors = ", ".join(str(n) for n in range(1, min(width, MOST_PARTS) + 1) if width % n == 0)
            yield (
                f"{where}.width: {name} with width {width} cannot have {heads} heads ({from_key}): "
                f"the width must divide by the heads; possible: {divisors}"
            )
