"""Examples of the README and of docs/add-a-loss.md run as printed."""

import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from amad_bench.losses import build_loss
from amad_bench.plan.catalogue import LOSSES
from amad_bench.plan.catalogue.loss import Loss
from amad_bench.plan.catalogue.options import OptionSpec
from tests.losses.cases import layer_trace, trace

# What the core install (torch, numpy) does not bring; transformers is the example's own.
NOT_CORE = (
    "pydantic",
    "pandas",
    "pyarrow",
    "h5py",
    "scipy",
    "snakemake",
    "sacrebleu",
    "pycocoevalcap",
    "PIL",
)


@pytest.fixture
def readme(repository: Path) -> str:
    return (repository / "README.md").read_text(encoding="utf-8")


def _blocks(readme: str, heading: str) -> list[str]:
    section = readme.split(f"{heading}\n", 1)[1].split("\n## ")[0].split("\n### ")[0]
    return re.findall(r"```python\n(.*?)```", section, re.DOTALL)


def test_the_losses_run_alone_with_the_core_install(readme: str) -> None:
    blocks = _blocks(readme, "## Use a loss alone")
    assert len(blocks) == 2
    blocked = "".join(f"sys.modules[{name!r}] = None\n" for name in NOT_CORE)
    checks = "assert any(p.grad.abs().sum() > 0 for p in student.parameters() if p.grad is not None)\n"
    code = f"import sys\n{blocked}{blocks[0]}{checks}{blocks[1]}assert student.grad.abs().sum() > 0\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_new_loss_is_one_file_and_one_record(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (repository / "docs/add-a-loss.md").read_text(encoding="utf-8")
    file, record = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    module = ModuleType("amad_bench.losses.top_head")
    exec(file, module.__dict__)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    loss = eval(record, {"Loss": Loss, "OptionSpec": OptionSpec})
    monkeypatch.setitem(LOSSES, loss.name, loss)
    teacher, student = trace({"a": [layer_trace(4)]}), trace({"a": [layer_trace(2, seed=1)]})
    with pytest.raises(ValueError, match="unknown head_reduction 'nothing'; available: sum, mean"):
        module.TopHead(head_reduction="nothing")(teacher, student)
    value = build_loss("top_head")(teacher, student)["attention"]
    value.backward()
    # By hand: every head against the head with the largest cosine.
    t, s = (x.sites["a"][0].probs_BHQK().detach().double() for x in (teacher, student))
    cosine = torch.einsum("bhqk,bgqk->bhg", t, s) / (
        t.norm(dim=(2, 3))[:, :, None] * s.norm(dim=(2, 3))[:, None]
    )
    expected = 0.0
    for b in range(t.shape[0]):
        for h in range(t.shape[1]):
            rows = teacher.sites["a"][0].query_mask_BQ[b] & student.sites["a"][0].query_mask_BQ[b]
            p, q = t[b, h][rows], s[b, int(cosine[b, h].argmax())][rows]
            expected += float(torch.where(p > 0, p * (p / q).log(), 0.0).sum() / rows.sum())
    assert value.item() == pytest.approx(expected / t.shape[0], rel=1e-5)


def test_every_named_config_exists(repository: Path, readme: str) -> None:
    named = set(re.findall(r"configs/([a-z-]+\.yaml)", readme))
    assert named == {path.name for path in (repository / "configs").glob("*.yaml")}


def test_the_answer_is_there_with_its_table_and_picture(readme: str) -> None:
    answer = readme.split("## The answer so far\n")[1].split("\n## ")[0]
    assert "@@" not in readme
    assert "| **`amad`, kl** |" in answer
    assert re.search(r"!\[.+\]\(results/reference/methods/losses\.png\)", answer)
