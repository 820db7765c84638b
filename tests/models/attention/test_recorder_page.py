"""docs/recorder.md says what the tests prove, its example runs."""

import re
from pathlib import Path

import pytest

from amad_bench.models.attention.capture import ALTERING
from tests.models.attention import recorder_page, test_refused


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs/recorder.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("table", ["proved", "refused", "arguments"])
def test_its_tables_are_those_of_the_tests(page, table):
    assert f"\n\n{getattr(recorder_page, table)()}\n\n" in page


def test_what_it_says_is_refused_is():
    tested = {*test_refused.ALTERED, *test_refused.WITHOUT_SITES, "Qwen2-VL"}
    assert {re.split(r" \(|, ", name)[0] for name in recorder_page.REFUSED} == tested
    assert set(recorder_page.GIVEN) == set(ALTERING)


def test_its_example_prints_what_it_says(page, capsys):
    (code,) = re.findall(r"(?ms)^```python\n(.*?)^```$", page)
    exec(compile(code, "docs/recorder.md", "exec"), {})
    said = re.findall(r"print\(.*\)  # (.*)", code)
    assert (
        capsys.readouterr().out.replace("torch.Size([2, 8, 10, 10])", "(2, 8, 10, 10)").splitlines() == said
    )
