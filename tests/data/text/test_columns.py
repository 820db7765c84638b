import pickle

import pytest

from amad_bench.data.text.columns import NUMBER_OF, TEXT, TEXT_OF, TEXTS, Column, write_columns

ROWS = [
    (f"id{i}", [f"a{i}", "ß"][: i % 3], {"type": "x"} if i % 2 else {}, {"yes": i / 10}) for i in range(9000)
]
TYPES = {"id": TEXT, "references": TEXTS, "groups": TEXT_OF, "scores": NUMBER_OF}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    path = tmp_path_factory.mktemp("columns") / "rows.arrow"
    write_columns(path, TYPES, iter(ROWS))
    return path


@pytest.mark.parametrize(("number", "name"), list(enumerate(TYPES)))
def test_values_come_back(path, number, name):
    """9,000 rows: more than two of the chunks in which they are written and read."""
    column = Column(path, name)
    expected = [row[number] for row in ROWS]
    assert len(column) == 9000
    assert list(column) == expected
    assert [column[row] for row in (0, 4095, 4096, 8999, -1)] == [
        expected[r] for r in (0, 4095, 4096, 8999, -1)
    ]


def test_slices_are_views(path):
    column = Column(path, "id")
    assert list(column[4090:4100]) == [f"id{i}" for i in range(4090, 4100)]
    assert list(column[10:][5:8]) == ["id15", "id16", "id17"]
    assert list(column[5:20:5]) == ["id5", "id10", "id15"]
    assert column[8990:].index("id8995") == 5
    assert column[:3][-1] == "id2"
    with pytest.raises(IndexError):
        column[:3][3]


def test_to_another_process_by_path(path):
    column = Column(path, "references")[7:]
    data = pickle.dumps(column)
    assert len(data) < 500
    assert list(pickle.loads(data)) == list(column)


def test_no_rows(tmp_path):
    write_columns(tmp_path / "a", {"id": TEXT}, [])
    assert list(Column(tmp_path / "a", "id")) == []


def test_equal_rows_give_equal_bytes(path, tmp_path):
    write_columns(tmp_path / "again", TYPES, ROWS)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()
