"""Pydantic's findings as lines for people: the key, what was expected, what stands there, what to do."""

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from amad_bench.plan.config.base import Problems
from amad_bench.plan.config.inputs import INPUTS, ImageInputs
from amad_bench.plan.shown import bound, shown, yaml_number
from amad_bench.runtime.errors import did_you_mean

LIMITS = {
    "greater_than": "more than",
    "greater_than_equal": "at least",
    "less_than": "less than",
    "less_than_equal": "at most",
}
LAYER_MAP_TAGS = ("name", "pairs")
EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
    "too_short": "a list with at least one entry",
    "string_pattern_mismatch": "letters, digits and a few signs only (_ . and, in the name of a config, -)",
}


def key_path(location: Sequence[str | int]) -> str:
    """('tasks', 0, 'student') as tasks[0].student"""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def explain(error: Mapping[str, Any], root: type[BaseModel]) -> list[str]:
    """Lines for one entry of ValidationError.errors()."""
    where = key_path(_without_union_tags(error["loc"]))
    problem = error.get("ctx", {}).get("error")
    if isinstance(problem, Problems):
        return [f"{where}{line}" for line in problem.lines]
    return [_line(error, where, root)]


def _line(error: Mapping[str, Any], where: str, root: type[BaseModel]) -> str:
    kind, value = error["type"], error.get("input")
    if kind == "extra_forbidden":
        known = _known_keys(root, error["loc"][:-1])
        hint = did_you_mean(error["loc"][-1], known) or f" Known keys: {', '.join(known)}"
        return f"{where}: unknown key.{hint}"
    if kind == "missing":
        return f"{where}: missing; add this key"
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", error["ctx"]["expected"])
        expected = " or ".join(choices) + (" or [student, teacher] pairs" if where == "layer_map" else "")
        return f"{where}: expected {expected}, found {shown(value)}.{did_you_mean(value, choices)}"
    if kind in ("int_type", "float_type") and isinstance(value, str):
        hint = yaml_number(value)
        if hint and kind == "int_type" and "e" in hint:
            number = float(hint)
            hint = f"{number:.0f}" if number.is_integer() and abs(number) < 1e15 else None
        advice = f"; write {hint}, YAML reads {value} as text" if hint else ""
        quoted = r"[-+]?(0|[1-9]\d*)" if kind == "int_type" else r"[-+]?\d+(\.\d*(e[-+]\d+)?)?"
        if re.fullmatch(quoted, value):
            advice = "; write it without quotes"
        return f"{where}: expected {EXPECTED[kind]}, found the text {shown(value)}{advice}"
    if kind in LIMITS:
        word, limit = LIMITS[kind], next(iter(error["ctx"].values()))
        return f"{where}: expected {word} {bound(limit)}, found {shown(value)}"
    if kind == "string_type" and isinstance(value, int | float | date):
        why = ", as YAML reads yes, no, on and off" if isinstance(value, bool) else ""
        return f"{where}: expected text, found {shown(value)}{why}; write it in quotes"
    message = str(error["ctx"]["error"]) if kind == "value_error" else error["msg"]
    expected = EXPECTED.get(kind) or re.sub(r"^Input should be ", "", message)
    return f"{where}: expected {expected}, found {shown(value)}"


def _without_union_tags(location: Sequence[str | int]) -> list[str | int]:
    """The location without the kind that pydantic chose, of `inputs`, `layer_map` or a data set: no key."""
    tags = {"inputs": INPUTS, "layer_map": LAYER_MAP_TAGS}
    if location[:1] == ("datasets",):
        location = [*location[:2], *location[3:]]
    return [
        part
        for index, part in enumerate(location)
        if part != "[key]" and part not in tags.get(str(location[index - 1]) if index else "", ())
    ]


def _known_keys(root: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """The keys of the mapping at a location of pydantic's, found by walking the annotations."""
    models = [root]
    for part in location:
        if models == [ImageInputs]:
            models = [INPUTS[str(part)]]
        else:
            models = [inner for outer in models for inner in _inside(outer, part)]
    return list(dict.fromkeys(key for found in models for key in found.model_fields))


def _inside(model: type[BaseModel], part: str | int) -> list[type[BaseModel]]:
    """The models behind a key; a list's index and a name in a dict of models stay at the same model."""
    field = model.model_fields.get(str(part))
    return _models_in(field.annotation) if field else [model]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
