"""run.json: whose folder it is, and what the run was made with."""

import json

import pytest

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.run_folder.run_record import RunRecord

RECORD = {
    "id": "a-run",
    "kind": "teacher",
    "config": {"b": [1.5, None], "a": "ü"},
    "provenance": {"cuda": None},
}


def test_written_and_read(tmp_path):
    path = tmp_path / "run.json"
    record = RunRecord("a-run", "teacher", {"b": [1.5, None], "a": "ü"}, {"cuda": None})
    record.write(path)
    assert path.read_text(encoding="utf-8") == json.dumps(RECORD, indent=2, ensure_ascii=False) + "\n"
    assert RunRecord.read(path) == record


@pytest.mark.parametrize("damaged", [[], {}, *({**RECORD, key: 1} for key in RECORD)])
def test_damage_names_the_file(tmp_path, damaged):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(damaged))
    with pytest.raises(
        UserError, match=r"run\.json: an object with id, .*; delete the run's folder"
    ) as caught:
        RunRecord.read(path)
    assert len(str(caught.value).splitlines()) == 1
