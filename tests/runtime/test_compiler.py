"""What torch.compile needs on a machine."""

from pathlib import Path

import pytest

from amad_bench.runtime.compiler import require_compiler
from amad_bench.runtime.errors import UserError


@pytest.mark.parametrize(
    ("device", "there", "variables"),
    [
        ("cuda", "gcc", {}),
        ("cuda", "clang", {}),
        ("cuda", "own", {"CC": "own"}),
        ("cpu", "own", {"CXX": "own"}),
    ],
)
def test_one_that_is_there_is_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, there: str, variables: dict[str, str]
) -> None:
    for name in ("CC", "CXX"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="compile: true needs a compiler of C"):
        require_compiler(device)
    (tmp_path / there).write_text("")
    (tmp_path / there).chmod(0o755)
    require_compiler(device)


def test_what_asks_for_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(UserError, match=r"^kernel: triton needs a .* or set kernel: chunked$"):
        require_compiler("cuda", "kernel: triton", "kernel: chunked")


def test_one_that_is_named_is_the_only_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gcc").write_text("")
    (tmp_path / "gcc").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CC", "gone")
    with pytest.raises(UserError, match="gone is not here"):
        require_compiler("cuda")
