"""The examples of docs/distil.md, and the README's of a Distiller, run as printed."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch


def _example(repository: Path, heading: str, page: str = "docs/distil.md") -> str:
    page = (repository / page).read_text(encoding="utf-8")
    section = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return block


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and a seed, so that each time the same is done."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    return tmp_path


def test_ten_lines(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    exec(_example(repository, "Ten lines"), names)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert all(list(eval(line)) == ["logit_kd", "amad"] for line in lines)
    assert torch.isfinite(names["loss"])
    assert all(parameter.grad is None for parameter in names["teacher"].parameters())
    assert names["parts"].alignment["amad"]["decoder.self/1"].shape == (16, 12)


def test_losses_that_learn(repository: Path, folder: Path) -> None:
    names: dict[str, Any] = {}
    exec(_example(repository, "Losses that learn"), names)
    assert all(parameter.grad is None for parameter in names["teacher"].parameters())
    saved = torch.load(folder / "checkpoint.pt")["distiller"]
    assert [tuple(tensor.shape) for tensor in saved.values()] == [(96, 96)]


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true but no accelerator is found")
def test_a_trainer(repository: Path) -> None:
    names: dict[str, Any] = {}
    exec(_example(repository, "transformers' Trainer"), names)
    history = names["trainer"].state.log_history
    logged = [logs for logs in history if "loss" in logs]
    assert len(logged) == 4
    assert all({"distil_logit_kd", "distil_amad"} <= set(logs) for logs in logged)
    assert sum("eval_loss" in logs for logs in history) == 2


def test_the_readmes(repository: Path) -> None:
    names: dict[str, Any] = {}
    exec(_example(repository, "Distil in your own training loop", "README.md"), names)
    assert all(parameter.grad is not None for parameter in names["student"].parameters())


@pytest.mark.slow
def test_a_real_bert(repository: Path, folder: Path, shared_weights: Path) -> None:
    (folder / "minilm-l6-h384").symlink_to(shared_weights / "minilm-l6-h384")
    names: dict[str, Any] = {}
    exec(_example(repository, "A real BERT, with four heads"), names)
    totals = names["totals"]
    assert totals[-1] < 0.8 * totals[0]
    assert names["parts"].alignment["amad"]["encoder.self/5"].shape == (12, 4)
