"""Records of data sets, the modules that read them, and the files' roles, which both name."""

import pkgutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from amad_bench.data import sources
from amad_bench.data.sources.examples import reader_of
from amad_bench.plan.catalogue import DATASETS, FORMATS
from tests.data.official_tree import write_official
from tests.planned import SCENES, planned_dataset

NOT_IN_THE_TREE = {"daquar", "flickr8k", "coco_mini", "vqa_v2_subset"}  # read where the real files are


class Recorded(Mapping[str, Path]):
    """Files by role that notes which roles are asked for."""

    def __init__(self, files: dict[str, Path]) -> None:
        self.files = files
        self.asked: set[str] = set()

    def __getitem__(self, role: str) -> Path:
        self.asked.add(role)
        return self.files[role]

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)


def test_records_and_modules_are_the_same() -> None:
    """A module of a data set has a function `read`; others of the folder help them."""
    modules = {name for _, name, _ in pkgutil.iter_modules(sources.__path__)}
    texts = {name: (Path(sources.__path__[0]) / f"{name}.py").read_text(encoding="utf-8") for name in modules}
    readers = {name for name, text in texts.items() if "\ndef read(" in text}
    assert readers == {record.reader for record in DATASETS.values()} | {f"own_{name}" for name in FORMATS}
    with_boxes = {name for name, text in texts.items() if "\ndef boxes(" in text}
    assert with_boxes == {name for name, record in DATASETS.items() if record.has_boxes}
    writers = {name for name, text in texts.items() if "\ndef write(" in text}
    assert writers == {name for name, record in DATASETS.items() if record.generated}


def variants(name: str) -> list[dict]:
    if name == "vqa_v2":
        return [{"subset": True, "answers": answers} for answers in ("computed", "file")]
    return [{"subset": True}] if name == "coco" else [SCENES] if name == "scenes" else [{}]


@pytest.mark.parametrize(
    ("name", "task"), [(name, task) for name in DATASETS for task in DATASETS[name].tasks]
)
def test_every_role_is_read(name: str, task: str, request, tmp_path: Path) -> None:
    record = DATASETS[name]
    if record.generated:
        root = request.getfixturevalue("scenes_folder")
    elif name in NOT_IN_THE_TREE:
        root = request.getfixturevalue("shared_data")
    else:
        root = write_official(tmp_path)
        (root / "vqa-v2/trainval_ans2label.json").write_text('{"yes": 0}')
    for options in variants(name):
        dataset = planned_dataset(name, **options)
        files = Recorded({role: root / path for role, path in record.files(task, dataset.options).items()})
        photos = {role: root / path for role, path in record.photos(dataset.options).items()}
        assert not files.keys() & photos.keys()
        both = Recorded(files.files | photos)
        assert reader_of(record).read(both, task, dataset.options)
        if record.has_boxes:
            assert reader_of(record).boxes(both).path.is_file()
        assert files.keys() - both.asked == set()


def test_no_module_names_a_path_of_its_own() -> None:
    """Paths stand once, in the records."""
    paths = {
        path
        for record in DATASETS.values()
        for task in record.tasks
        for path in (
            *record.files(task, record.complete({})).values(),
            *record.photos(record.complete({})).values(),
        )
    }
    words = {Path(path).name for path in paths if Path(path).suffix}
    assert len(words) > 20
    for module in Path(sources.__path__[0]).glob("*.py"):
        text = module.read_text(encoding="utf-8")
        assert [word for word in words if word in text] == []
