"""A YAML file as plain Python values; what is broken, or read as something else, is the user's mistake."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import yaml

from amad_bench.runtime.errors import UserError

MOST_LEVELS = 50
MOST_VALUES = 100_000  # with all aliases written out
MOST_DIGITS = 100

_TAG = "tag:yaml.org,2002:"


def read_yaml(path: Path) -> Any:
    """UserError: the file is missing, unreadable, not UTF-8 or broken, repeats a key, or has a key or
    a number that YAML reads as something else.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such config file; check the path or give --config") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); a YAML file was expected") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    try:
        problems = list(_of_aliases_and_levels(text)) or _of_nodes(text)
        if problems:
            raise UserError(*(f"{path}: {problem}" for problem in problems))
        return yaml.load(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        parts = [getattr(error, name, None) for name in ("context", "problem")]
        problem = " ".join(" ".join(filter(None, parts)).split() or str(error).split())
        raise UserError(f"{path}: {line}broken YAML ({problem}); correct that line") from None
    except (AttributeError, LookupError, ValueError) as error:  # of PyYAML, for a value like 2026-13-45
        problem = " ".join(str(error).split())
        raise UserError(f"{path}: broken YAML, a value cannot be read ({problem}); correct it") from None


def _of_aliases_and_levels(text: str) -> Iterator[str]:
    """Mistakes that PyYAML does not name, or does not survive: to be looked at before all else."""
    lines: dict[str, int] = {}
    levels = 0
    events = cast("Iterator[Any]", yaml.parse(text, Loader=yaml.CSafeLoader))  # pyright: ignore[reportUnknownMemberType]
    for event in events:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            lines = {}
        elif isinstance(event, yaml.CollectionStartEvent):
            levels += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            levels -= 1
        if levels > MOST_LEVELS:
            yield f"line {line}: nested too deeply, in more than {MOST_LEVELS} levels; correct that line"
            return
        name = getattr(event, "anchor", None)
        if isinstance(event, yaml.AliasEvent):
            if name not in lines:
                yield f"line {line}: the alias *{name} stands for nothing; write &{name} before it"
        elif name is not None:
            if name in lines:
                yield f"line {line}: the anchor &{name} stands in line {lines[name]} already; rename one"
            lines.setdefault(name, line)


def _of_nodes(text: str) -> list[str]:
    root = cast("yaml.Node | None", yaml.compose(text, Loader=yaml.CSafeLoader))  # pyright: ignore[reportUnknownMemberType]
    if root is None:
        return []
    if _values(root, {}) > MOST_VALUES:
        return [f"an alias inside its anchor, or aliases for more than {MOST_VALUES:,} values; write it out"]
    return list(_misread(root, ""))


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """Number of values, each alias written out; one too many when that would have no end."""
    if id(node) not in known:
        known[id(node)] = MOST_VALUES + 1
        known[id(node)] = 1 + sum(_values(child, known) for _, child in _children(node, ""))
    return known[id(node)]


def _children(node: yaml.Node, path: str) -> list[tuple[str, yaml.Node]]:
    if isinstance(node, yaml.SequenceNode):
        return [(f"{path}[{index}]", child) for index, child in enumerate(node.value)]
    if isinstance(node, yaml.MappingNode):
        dot = "." if path else ""
        return [(f"{path}{dot}{key.value}" if _is_plain(key) else path, child) for key, child in node.value]
    return []


def _is_plain(key: yaml.Node) -> bool:
    return isinstance(key, yaml.ScalarNode)


def _misread(node: yaml.Node, path: str) -> Iterator[str]:
    """Keys that stand twice or are no text, numbers that are others than they seem."""
    if isinstance(node, yaml.ScalarNode):
        yield from _misread_number(node, path)
    keys = [key for key, _ in node.value] if isinstance(node, yaml.MappingNode) else []
    lines: dict[str, int] = {}
    for index, (where, child) in enumerate(_children(node, path)):
        if keys:
            in_braces = isinstance(node, yaml.MappingNode) and bool(node.flow_style)
            comma = in_braces and child.tag == f"{_TAG}null"  # {rate: 0,001}
            yield from _misread_key(keys[index], where, lines, comma)
        yield from _misread(child, where)


def _misread_key(key: yaml.Node, where: str, lines: dict[str, int], comma: bool) -> Iterator[str]:
    """lines: of the keys before it in its mapping; takes it up. comma: a number may be the end of another."""
    line = key.start_mark.line + 1
    if not _is_plain(key):
        yield f"line {line}: expected text as key, found a list or a mapping; correct it"
        return
    if key.tag not in (f"{_TAG}str", f"{_TAG}merge"):
        found = f"{key.value!r}, which YAML reads as {key.tag.removeprefix(_TAG)}"
        advice = "write the key in quotes or correct it"
        if comma and key.tag == f"{_TAG}int":
            advice = "write a point, not a comma, in the number before it"
        yield f"{where}: expected text as key, found {found}; {advice}"
    if key.value in lines:
        yield f"{where}: the key stands twice (lines {lines[key.value]} and {line}); keep one"
    lines.setdefault(key.value, line)


def _misread_number(node: yaml.ScalarNode, path: str) -> Iterator[str]:
    if node.tag not in (f"{_TAG}int", f"{_TAG}float"):
        return
    base = "60" if ":" in node.value else "8" if re.fullmatch(r"[-+]?0[0-7_]+", node.value) else ""
    if len(node.value) > MOST_DIGITS:
        yield f"{path}: a number of more than {MOST_DIGITS} digits; correct it"
    elif base:
        yield f"{path}: YAML reads {node.value} in base {base}; write a decimal number, or text in quotes"
