"""scores.parquet: columns and values as they were. (What is damaged: analysis/test_collect.)"""

import pandas as pd

from amad_bench.runtime.run_folder.scores import read_scores, write_scores


def test_written_and_read(tmp_path):
    path = tmp_path / "scores.parquet"
    frame = pd.DataFrame(
        {
            "statistics": pd.Series([None, [1.0, 2.0]], dtype=object),
            "metric": ["TER", "BLEU"],
            "example_id": ["1", "2"],
            "cluster_id": ["a", "b"],
            "value": [0.5, 0.25],
        }
    )
    write_scores(path, "a-run", {"test": frame, "test_blind": frame.iloc[:1]})
    expected = [
        ("a-run", "test", "TER", "1", "a", 0.5, None),
        ("a-run", "test", "BLEU", "2", "b", 0.25, [1.0, 2.0]),
        ("a-run", "test_blind", "TER", "1", "a", 0.5, None),
    ]
    found = read_scores(path, "a-run", may_be_empty=False)
    assert list(found.itertuples(index=False, name=None)) == expected
    columns = ["run_id", "split", "metric", "example_id", "cluster_id", "value", "statistics"]
    assert list(pd.read_parquet(path).columns) == columns
