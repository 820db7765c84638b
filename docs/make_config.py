"""docs/config.md, made of the schema and the catalogue: `make docs`."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from amad_bench.plan.catalogue import DATASETS, FAMILIES, FORMATS, LOSSES, OptionSpec
from amad_bench.plan.config.datasets import DatasetEntry, Limit, OwnDataset
from amad_bench.plan.config.grid import GridPart
from amad_bench.plan.config.inputs import INPUTS
from amad_bench.plan.config.losses import Assistant, LossEntry, LossWeights
from amad_bench.plan.config.models import Heads, ModelEntry, ModelSize, SideSize
from amad_bench.plan.config.schema import Config, TaskEntry
from amad_bench.plan.config.training import (
    Checkpointing,
    Decoding,
    Pretraining,
    PretrainingTraining,
    Training,
)
from amad_bench.plan.shown import bound

HEAD = """# The keys of a config

Made by `make docs`; a test keeps it current. A key without a default must be
given. Every mistake is reported in one line of its own, before anything runs; paths are below `AMAD_DATA`.
"""
SECTIONS: dict[str, type[BaseModel]] = {
    "The whole file": Config,
    "`datasets.<name>`": DatasetEntry,
    "`datasets.<name>` of your own data": OwnDataset,
    "`datasets.<name>.limit`": Limit,
    "`models.<family>`": ModelEntry,
    **{f"`models.<family>.inputs` of `kind: {kind}`": inputs for kind, inputs in INPUTS.items()},
    "`models.<family>.teacher`, `.student`, `.students.<name>`": ModelSize,
    "`models.<family>.teacher.vision`, `.text`, and of students": SideSize,
    "`heads`": Heads,
    "`grid[]`": GridPart,
    "`pretraining`": Pretraining,
    "`pretraining.training.<family>.<condition>`": PretrainingTraining,
    "`losses[]`": LossEntry,
    "`losses[].assistant`": Assistant,
    "`loss_weights`": LossWeights,
    "`tasks[]`": TaskEntry,
    "`tasks[].teacher`, `.student`": Training,
    "`tasks[].decoding`": Decoding,
    "`checkpoint`": Checkpointing,
}
OPTION_TYPES = {int: "whole number", float: "number", str: "text", bool: "true or false", list: "list"}


def reference() -> str:
    """The text of docs/config.md."""
    parts = [HEAD]
    for title, model in SECTIONS.items():
        parts.append(f"## {title}\n\n{_purpose(model)}\n")
        parts.append(_table(_keys(model)))
        if model is DatasetEntry:
            parts += _options("datasets", {name: record.options for name, record in DATASETS.items()})
        if model is ModelEntry:
            parts += _options("models", {name: record.options for name, record in FAMILIES.items()})
        if model is PretrainingTraining:
            parts += _options("pretraining.training", _of_pretrainings())
        if model is OwnDataset:
            parts += _options("format", {name: layout.options for name, layout in FORMATS.items()})
        if model is LossEntry:
            parts += _options("losses", {name: record.options for name, record in LOSSES.items()})
    return "\n".join(parts)


def _of_pretrainings() -> dict[str, Mapping[str, OptionSpec]]:
    return {
        f"{name}.{condition}": pretraining.options
        for name, record in FAMILIES.items()
        for condition, pretraining in record.pretraining.items()
    }


def _purpose(model: type[BaseModel]) -> str:
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())


def _table(rows: Iterable[tuple[str, str, str, str]]) -> str:
    lines = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows), ""])


def _keys(model: type[BaseModel]) -> Iterable[tuple[str, str, str, str]]:
    schema = model.model_json_schema()
    for name, field in schema["properties"].items():
        default = "" if name in schema.get("required", ()) else _shown(field.get("default"))
        yield f"`{name}`", _type(field), default, field["description"]


def _shown(value: Any) -> str:
    """A default as it is written in a config; "none" where leaving the key out has a meaning of its own."""
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return f"`[{', '.join(map(str, value))}]`"
    if isinstance(value, Mapping):
        return f"`{{{', '.join(f'{key}: {inner}' for key, inner in value.items())}}}`".replace("'", "")
    return f"`{value}`"


def _type(schema: Mapping[str, Any]) -> str:
    """A JSON schema in words."""
    if choices := schema.get("anyOf") or schema.get("oneOf"):
        named = dict.fromkeys(_type(choice) for choice in choices if choice.get("type") != "null")
        return " or ".join(named)
    if "$ref" in schema:
        return "mapping"
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{choice}`" for choice in schema["enum"])
    kind = schema.get("type")
    if kind == "array":
        return f"list of {_type(schema['items'])}"
    if kind == "object":
        values = schema.get("additionalProperties") or next(iter(schema["patternProperties"].values()))
        inner = _type(values)
        return "mapping by name" if inner.startswith("mapping") else f"mapping by name of {inner}"
    names = {"integer": "whole number", "number": "number", "string": "text", "boolean": "true or false"}
    return names[str(kind)] + _limits(schema)


def _limits(schema: Mapping[str, Any]) -> str:
    lowest, highest = schema.get("minimum"), schema.get("maximum")
    if lowest is not None and highest is not None:
        return f", {bound(lowest)} to {bound(highest)}"
    words = {
        "exclusiveMinimum": "more than",
        "minimum": "at least",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
    }
    found = [f"{word} {bound(schema[key])}" for key, word in words.items() if key in schema]
    return f", {', '.join(found)}" if found else ""


def _options(where: str, records: Mapping[str, Mapping[str, OptionSpec]]) -> Iterable[str]:
    yield f"Further keys, by the name in `{where}`:\n"
    yield "| name | key | type | default | meaning |\n| --- | --- | --- | --- | --- |"
    for name, options in records.items():
        for key, spec in options.items():
            kind = " or ".join(f"`{choice}`" for choice in spec.choices) or OPTION_TYPES[spec.type]
            limits = {"minimum": spec.minimum, "exclusiveMinimum": spec.above, "maximum": spec.maximum}
            kind += _limits({key: limit for key, limit in limits.items() if limit is not None})
            if spec.type is list:
                kind = f"list of {kind}"
            yield f"| `{name}` | `{key}` | {kind} | {_shown(spec.default)} | {spec.description} |"
    yield ""


if __name__ == "__main__":
    print(reference(), end="")
