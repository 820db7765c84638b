"""Traps: what docs/ marks with ✓ has a test, and what tests are marked with stands there."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.statements import statements


def _marked(path: Path) -> Iterator[tuple[str, str]]:
    """(id, test) of each `@pytest.mark.trap(id)` in a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        for decorator in getattr(node, "decorator_list", []):
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.trap":
                (identifier,) = decorator.args
                assert isinstance(node, ast.FunctionDef)
                yield ast.literal_eval(identifier), f"{path.name}::{node.name}"


def test_each_trap_has_a_test_and_each_marker_a_trap(repository):
    guarded = [statement.id for statement in statements(repository) if statement.guarded]
    marked = [pair for path in sorted((repository / "tests").rglob("test_*.py")) for pair in _marked(path)]
    assert [pair for pair in marked if pair[0] not in guarded] == []
    assert [identifier for identifier in guarded if identifier not in dict(marked)] == []
    assert all(test.partition("::")[2].startswith("test_") for _, test in marked)
    assert len(marked) == len(set(marked))
