"""status.json is trusted only where it says how the run ended."""

import json

import pytest

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.status_file import read_status


def test_what_is_there(tmp_path):
    (tmp_path / "status.json").write_text(json.dumps({"status": "diverged", "reason": "NaN"}))
    assert read_status(tmp_path) == {"status": "diverged", "reason": "NaN"}


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"status": "fine"}', '{"status": ["done"]}', '"done"'])
def test_damage_names_the_file(tmp_path, text):
    (tmp_path / "status.json").write_text(text)
    with pytest.raises(UserError, match=r"status\.json: .*delete") as caught:
        read_status(tmp_path)
    assert len(str(caught.value).splitlines()) == 1


def test_a_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"status\.json: no such file"):
        read_status(tmp_path)
