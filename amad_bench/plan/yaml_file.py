"""A YAML file as plain Python values; syntax errors and keys that stand twice are the user's mistakes."""

from pathlib import Path
from typing import Any

import yaml

from amad_bench.runtime.errors import UserError, UserErrors


def read_yaml(path: Path) -> Any:
    """UserError: the file is missing, unreadable, not UTF-8, broken, or repeats a key."""
    try:
        text = path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise UserError(f"{path}: no such config file; check the path or give --config") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); a YAML file was expected") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None
    try:
        value = yaml.load(text, Loader=yaml.CSafeLoader)
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
        repeated = _repeated_keys(root, "") if root is not None else []
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise UserError(f"{path}: {line}broken YAML ({problem}); correct that line") from None
    except RecursionError:
        raise UserError(f"{path}: nested too deeply, or an alias inside its anchor; write it out") from None
    except (AttributeError, LookupError, ValueError) as error:  # of PyYAML, for a value like 2026-13-45
        problem = " ".join(str(error).split())
        raise UserError(f"{path}: broken YAML, a value cannot be read ({problem}); correct it") from None
    if repeated:
        raise UserErrors([f"{path}: {message}" for message in repeated])
    return value


def _repeated_keys(node: yaml.Node, path: str) -> list[str]:
    """Lines such as "heads.student: the key stands twice (lines 4 and 9); keep one"."""
    if isinstance(node, yaml.SequenceNode):
        children = [(f"{path}[{index}]", child) for index, child in enumerate(node.value)]
        return [message for where, child in children for message in _repeated_keys(child, where)]
    if not isinstance(node, yaml.MappingNode):
        return []
    messages, lines = [], {}
    for key, child in node.value:
        where = f"{path}.{key.value}" if path else str(key.value)
        line = key.start_mark.line + 1
        if key.value in lines:
            messages.append(f"{where}: the key stands twice (lines {lines[key.value]} and {line}); keep one")
        lines.setdefault(key.value, line)
        messages += _repeated_keys(child, where)
    return messages
