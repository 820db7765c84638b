"""The examples of the README run as printed."""

import re

from tests.tiny_models import tiny_batch, tiny_model


def test_python_examples_run(repository):
    blocks = re.findall(
        r"```python\n(.*?)```", (repository / "README.md").read_text(encoding="utf-8"), re.DOTALL
    )
    assert len(blocks) == 2
    names: dict = {}
    exec("\n".join(blocks), names)
    assert names["student"].grad.abs().sum() > 0
    teacher, student = tiny_model("vlt5", heads=4), tiny_model("vlt5", heads=2, seed=1)
    assert names["step"](teacher, student, tiny_batch("vlt5")).item() > 0


def test_every_named_config_exists(repository):
    named = set(
        re.findall(r"configs/([a-z-]+\.yaml)", (repository / "README.md").read_text(encoding="utf-8"))
    )
    assert named == {path.name for path in (repository / "configs").glob("*.yaml")}
