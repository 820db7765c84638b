"""Groups of test examples: taken from any run, the same in all of them."""

import json

import pandas as pd
import pytest

from amad_bench.analysis.collect import collect
from amad_bench.analysis.example_groups import EXAMPLE_COLUMNS, example_groups
from amad_bench.analysis.tables.results import results_table
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.run_folder.folder import RunFolder

TASKS = (("vlt5", "vqa"), ("blip", "vqa"), ("vlt5", "translation"))


@pytest.fixture
def finished(fake, tmp_path):
    runs = fake.plan(tasks=TASKS, losses=("ce",), seeds=1).runs
    return [(run, RunFolder(fake.write(tmp_path, run))) for run in runs]


def change(folder, line, text):
    path = folder.path / "predictions.jsonl"
    lines = path.read_text().splitlines()
    lines[line] = text(json.loads(lines[line])) if callable(text) else text
    path.write_text("\n".join(lines) + "\n")


def test_a_row_per_example_and_group(finished):
    table = example_groups(finished)
    assert list(table.columns) == EXAMPLE_COLUMNS
    assert len(table) == 240 * 2 + 80  # once for both families; no groups in translation, none of controls
    assert set(zip(table["dataset"], table["task"], table["split"], strict=True)) == {
        ("scenes", "vqa", "test")
    }
    of_one = table.query("example_id == 'e0010'").set_index("group")["value"].to_dict()
    assert of_one == {"answer_type": "number", "domain": "out", "question_type": "how many"}


def test_the_order_of_runs_does_not_matter(finished):
    pd.testing.assert_frame_equal(example_groups(finished), example_groups(finished[::-1]))


def test_further_test_splits_are_there(finished):
    run, folder = finished[0]
    change(folder, 3, lambda row: json.dumps(row | {"split": "test_2017_flickr"}))
    table = example_groups([(run, folder)])
    assert table.query("split == 'test_2017_flickr'")["example_id"].unique().tolist() == ["e0003"]


def test_nothing_is_finished(finished):
    for table in (example_groups([]), example_groups(finished[-1:])):
        assert table.empty
        assert list(table.columns) == EXAMPLE_COLUMNS


def test_runs_that_disagree_are_refused(finished):
    _, folder = finished[2]  # blip
    change(folder, 7, lambda row: json.dumps(row | {"groups": {"answer_type": "other"}}))
    with pytest.raises(
        UserError, match=r"predictions\.jsonl: example 'e0007' of the split test.*delete"
    ) as error:
        example_groups(finished)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("line", ["{", "[]", '{"split": "test", "example_id": "e0001"}', "\x00"])
def test_damaged_predictions_name_the_file(finished, line):
    _, folder = finished[0]
    change(folder, 1, line)
    with pytest.raises(UserError, match=r"predictions\.jsonl: line 2.*delete"):
        example_groups(finished)


def test_missing_predictions_name_the_file(finished):
    (finished[0][1].path / "predictions.jsonl").unlink()
    with pytest.raises(UserError, match=r"predictions\.jsonl: this file of a finished run is missing"):
        example_groups(finished)


def test_blocks_with_images_of_their_own_have_other_examples_under_the_same_ids(fake, tmp_path):
    changes = {"teacher_per": "block", "scenes_per": "block"}
    plan = fake.plan(tasks=TASKS[:1], losses=("ce",), seeds=1, gaps=((8, 2), (8, 4)), changes=changes)
    folders = [(run, RunFolder(fake.write(tmp_path, run))) for run in plan.runs]
    for run, folder in folders:
        if run.config.block.student_heads == 4:
            change(folder, 7, lambda row: json.dumps(row | {"groups": {"answer_type": "other"}}))
    of_one = example_groups(folders).query("example_id == 'e0007' and group == 'answer_type'")
    seeds = {run.config.block.student_heads: str(run.config.dataset.options["seed"]) for run in plan.runs}
    assert of_one.set_index("seed")["value"].to_dict() == {seeds[2]: "number", seeds[4]: "other"}
    tables = collect(plan, tmp_path)
    results = results_table(tables).query("loss == 'ce'")
    shown = results.query("metric == 'vqa_accuracy' and subset == 'answer_type: number'")
    assert shown.set_index("student_heads")["n_examples"].to_dict() == {2: 80, 4: 79}
