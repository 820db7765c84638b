"""A data set's hash: of its options when it is generated, of its files' bytes when it is real."""

from pathlib import Path

import pytest

from amad_bench.plan.catalogue import DATASETS
from amad_bench.plan.datahash import dataset_hash
from amad_bench.runtime.errors import UserError

FILES = DATASETS["daquar"].files


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for number, file in enumerate(FILES):
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number))
    monkeypatch.setenv("AMAD_DATA", str(tmp_path))
    return tmp_path


def test_generated_data_are_hashed_by_options_without_any_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AMAD_DATA", raising=False)
    one, other = dataset_hash("scenes", {"seed": 0}), dataset_hash("scenes", {"seed": 1})
    assert one == dataset_hash("scenes", {"seed": 0}) != other
    assert len(one) == 16


@pytest.mark.parametrize("file", FILES)
def test_every_byte_of_every_file_counts(folder: Path, file: str) -> None:
    before = dataset_hash("daquar", {})
    (folder / file).write_text("changed")
    after = dataset_hash("daquar", {})
    assert before != after


def test_the_place_of_the_folder_does_not_count(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = dataset_hash("daquar", {})
    (tmp_path / "elsewhere").mkdir()
    (folder / "daquar").rename(tmp_path / "elsewhere" / "daquar")
    monkeypatch.setenv("AMAD_DATA", str(tmp_path / "elsewhere"))
    assert dataset_hash("daquar", {}) == before


def test_all_missing_files_are_named(folder: Path) -> None:
    (folder / FILES[0]).unlink()
    (folder / FILES[4]).unlink()
    with pytest.raises(UserError) as caught:
        dataset_hash("daquar", {})
    assert [Path(line.split(": ")[0]).name for line in caught.value.messages] == [
        "questions_train.json",
        "images_112.tar",
    ]


def test_without_amad_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AMAD_DATA", raising=False)
    with pytest.raises(UserError, match="AMAD_DATA is not set"):
        dataset_hash("daquar", {})
