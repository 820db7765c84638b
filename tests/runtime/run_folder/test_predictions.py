"""predictions.jsonl: what is damaged is named by file and record, in one line."""

import hashlib
import json

import pytest

from amad_bench.runtime.errors import UserError
from amad_bench.runtime.run_folder.predictions import (
    Prediction,
    first_predictions,
    predictions_sha256,
    read_predictions,
    write_predictions,
)


def record(**changes) -> dict:
    row = {"split": "test", "example_id": "1", "cluster_id": "c", "prediction": "two\u2028dogs"}
    return row | {"references": ["a dog"], "groups": {"answer_type": "other"}} | changes


@pytest.fixture
def write(tmp_path):
    """write(records or lines) -> the file of the run `a-run`."""

    def run(*records):
        folder = tmp_path / "a-run"
        folder.mkdir(exist_ok=True)
        lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in records]
        path = folder / "predictions.jsonl"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return run


def test_rows_by_split_in_their_order(write):
    rows = [record(split="test"), record(split="b"), record(example_id="0")]
    path = write(*rows)
    first, second, third = (Prediction(**row) for row in rows)
    assert read_predictions(path) == {"test": [first, third], "b": [second]}
    assert predictions_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_first_of_a_split_without_the_rest(write):
    rows = [record(split="b"), *(record(example_id=str(number)) for number in range(3))]
    path = write(*rows, "{")
    assert first_predictions(path, "test", 2) == [Prediction(**row) for row in rows[1:3]]
    assert first_predictions(path, "b", 1) == [Prediction(**rows[0])]
    with pytest.raises(UserError, match="line 5 is no JSON record"):
        first_predictions(path, "b", 2)


def test_what_is_written_is_a_line_of_json_for_each_record(write, tmp_path):
    rows = [record(), record(example_id="0", prediction="")]
    path = tmp_path / "predictions.jsonl"
    write_predictions(path, [Prediction(**row) for row in rows])
    assert path.read_bytes() == write(*rows).read_bytes()
    assert read_predictions(path) == {"test": [Prediction(**row) for row in rows]}


def without(key: str) -> dict:
    return {name: value for name, value in record().items() if name != key}


@pytest.mark.parametrize(
    ("damaged", "said"),
    [
        ("{", "line 2 is no JSON record"),
        ("", "line 2 is no JSON record"),
        ("[" * 100_000, "line 2 is no JSON record"),
        ([1], r"line 2: an object was expected, found \[1\]"),
        (without("prediction"), "line 2: 'prediction' must be a text, found null"),
        (record(prediction=7), "line 2: 'prediction' must be a text, found 7"),
        (record(split=None), "line 2: 'split' must be a text, found null"),
        (record(example_id=3), "line 2: 'example_id' must be a text, found 3"),
        (record(cluster_id=["x" * 99]), r"line 2: 'cluster_id' must be a text, found .{60}\.\.\."),
        (without("references"), "line 2: 'references' must be a list of texts, at least one, found null"),
        (record(references=[]), r"line 2: 'references' must be .* found \[\]"),
        (record(references="a dog"), "line 2: 'references' must be"),
        (record(references=["a", 2]), "line 2: 'references' must be"),
        (record(groups=None), "line 2: 'groups' must be an object of texts, found null"),
        (record(groups={"answer_type": 1}), "line 2: 'groups' must be"),
        (record(example_id="0"), "example '0' was predicted twice in split 'test'"),
    ],
)
def test_damage_is_named(write, damaged, said):
    path = write(record(example_id="0"), damaged)
    with pytest.raises(UserError, match=rf"a-run/predictions\.jsonl: {said}") as caught:
        read_predictions(path)
    assert len(str(caught.value).splitlines()) == 1


def test_no_text_and_no_file(write):
    path = write()
    with pytest.raises(UserError, match=r"line 1 is no JSON record.*run `amad-bench score --run a-run`"):
        read_predictions(path)
    path.write_bytes(b'{"split": "\xff"}\n')
    with pytest.raises(UserError, match="line 1 is no JSON record"):
        read_predictions(path)
    path.unlink()
    for read in (read_predictions, predictions_sha256):
        with pytest.raises(UserError, match=r"predictions\.jsonl: this file of a finished run is missing"):
            read(path)
