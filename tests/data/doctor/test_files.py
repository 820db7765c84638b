"""What `doctor` finds in a folder of data: complete, missing, damaged, other than published."""

import json
import tarfile
from pathlib import Path

import pytest
import yaml

from amad_bench.cli import main
from amad_bench.data.doctor.files import NAMED, _measured, _records, examine_files
from amad_bench.data.doctor.manifests import FileFacts
from amad_bench.data.doctor.tasks import examine_tasks
from amad_bench.plan.catalogue import DATASETS
from amad_bench.plan.config.load import load_config
from amad_bench.plan.datafiles import Source, sources
from tests.data.doctored import RUNS, doctor, doctored_config, write_doctored
from tests.runtime.test_filehash import add_junk


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return write_doctored(tmp_path, monkeypatch)


@pytest.mark.usefixtures("folder")
def test_complete_data(capsys: pytest.CaptureFixture[str]) -> None:
    findings = {finding.path: finding for finding in examine_files(doctored_config())}
    assert len(findings) == 5
    assert {finding.state for finding in findings.values()} == {"ok"}
    assert {finding.runs for finding in findings.values()} == {RUNS}
    assert findings["daquar/questions_train.json"].compared == "sha256, records, bytes"
    assert findings["daquar/images_112"].compared == "records"
    assert findings["daquar/questions_test.json"].records == 10
    code, out, err = doctor(capsys)
    assert (code, err) == (0, "")
    assert "test 10; images in two splits: " in out
    assert "1" in out.rsplit("images in two splits:", 1)[1]


def test_a_missing_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "daquar" / "images_112.tar").unlink()
    code, out, err = doctor(capsys)
    assert code == 2
    assert (
        f"daquar/images_112: missing, blocks {RUNS} runs: blip vqa daquar; source: the photographer\n" in out
    )
    assert err == "amad-bench: error: config.yaml: 1 of 5 files are not as needed (missing)\n"


def test_other_content_than_published(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "daquar" / "questions_train.json"
    content = json.loads(path.read_text())
    content["questions"].pop()
    path.write_text(json.dumps(content))
    code, out, _ = doctor(capsys)
    assert code == 2
    assert "daquar/questions_train.json: differs (sha256 should be" in out
    assert "records should be 30" in out
    assert "has no question in" in out  # what the reader says of these splits


@pytest.mark.parametrize(
    ("name", "content"), [("questions_test.json", b"{"), ("images_112.tar", b"x" * 600)], ids=["json", "tar"]
)
def test_an_unreadable_file(
    folder: Path, name: str, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "daquar" / name).write_bytes(content)
    code, out, err = doctor(capsys)
    assert code == 2
    assert ": unreadable (" in out
    assert err.count("\n") == 1


@pytest.mark.parametrize("content", ["5", "null", '{"annotations": null}', "[" * 100_000])
def test_json_that_holds_no_records(folder: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "daquar" / "annotations_test.json").write_text(content)
    code, out, err = doctor(capsys)
    assert code == 2
    assert "daquar/annotations_test.json: unreadable (" in out
    assert err.endswith("1 of 5 files are not as needed (unreadable); 1 error in what they hold\n")


def test_a_link_in_a_circle_is_unreadable(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "daquar" / "questions_test.json"
    path.unlink()
    path.symlink_to(path)
    code, out, err = doctor(capsys)
    assert code == 2
    assert "questions_test.json: unreadable (cannot be read (Too many levels of symbolic links)" in out
    assert "(unreadable)" in err


@pytest.mark.parametrize(
    ("manifest", "message"),
    [("files: [", "line 2: broken YAML"), ("- 1", "the file: "), ("files: {a: {sha: x}}", "files.a.sha: ")],
)
@pytest.mark.usefixtures("folder")
def test_a_broken_manifest(manifest: str, message: str, capsys) -> None:
    Path("configs/data/daquar.yaml").write_text(f"{manifest}\n")
    code, _, err = doctor(capsys)
    assert code == 2
    assert err.startswith(f"amad-bench: error: configs/data/daquar.yaml: {message}")
    assert err.count("\n") == 1


def test_elsewhere_the_manifests_of_the_source_tree_count(folder: Path, capsys, monkeypatch) -> None:
    Path("configs").rename("repository")
    monkeypatch.setattr("amad_bench.runtime.paths._SOURCE_TREE", folder)
    assert "configs/data: not found here, nothing is compared with what is published\n" in doctor(capsys)[1]
    (folder / "configs").symlink_to(Path("repository").resolve())
    code, out, _ = doctor(capsys)
    assert code == 0
    assert "configs/data: not found" not in out
    assert "sha256, records" in out


def test_an_unpacked_archive_is_compared_too(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = folder / "daquar" / "images_112.tar"
    with tarfile.open(archive) as packed:
        packed.extraction_filter = getattr(tarfile, "data_filter", None)  # not in 3.11.0 to 3.11.3
        packed.extractall(folder / "daquar" / "images_112")
    archive.unlink()
    (folder / "daquar" / "images_112" / "one_more.jpg").touch()
    code, out, _ = doctor(capsys)
    assert code == 2
    assert (
        f"images_112: differs (records should be 39), may block {RUNS} runs: blip vqa daquar; source: " in out
    )


def test_the_header_of_a_table_is_no_record(folder: Path) -> None:
    (folder / "join.tsv").write_text("line\tphoto\n0\ta.jpg\n1\tb.jpg\n")
    assert _records(Source("join.tsv", "text"), folder / "join.tsv") == 2


@pytest.mark.parametrize("kind", ["photos", "features", "folder", "checkpoint"])
def test_what_is_not_data_is_not_counted(folder: Path, kind: str) -> None:
    (folder / "it").mkdir()
    for name in ("a.jpg", "b.npz", "config.json"):
        (folder / "it" / name).write_text("data")
    add_junk(folder / "it")
    assert _measured(Source("it", kind), FileFacts())["records"] == 3


@pytest.mark.parametrize(("path", "kind"), [("a.pth", "checkpoint"), ("it", "checkpoint"), ("it", "folder")])
def test_weights_that_git_lfs_has_not_fetched(folder: Path, path: str, kind: str) -> None:
    (folder / "it").mkdir()
    for name in ("a.pth", "it/model.safetensors"):
        (folder / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0a\nsize 3\n")
    found = _measured(Source(path, kind), FileFacts())
    assert found["state"] == "unreadable"
    assert "a Git LFS pointer" in found["note"]


@pytest.mark.usefixtures("folder")
def test_without_amad_data(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.delenv("AMAD_DATA")
    code, out, _ = doctor(capsys)
    assert code == 2
    assert "daquar/questions_train.json: missing (AMAD_DATA is not set" in out


def test_generated_data_need_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--config", "configs/smoke.yaml"]) == 0
    assert "no file is needed" in capsys.readouterr().out


@pytest.mark.usefixtures("folder")
def test_the_doctor_touches_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*")}
    doctor(capsys)
    assert {path: path.stat().st_mtime_ns for path in Path().rglob("*")} == before


def test_manifests_and_data_sets_name_the_same_files() -> None:
    known = {path.stem: yaml.safe_load(path.read_text()) for path in Path("configs/data").glob("*.yaml")}
    del known[NAMED]
    assert known.keys() == {name for name, record in DATASETS.items() if not record.generated}
    for name, manifest in known.items():
        assert manifest["publisher"].startswith("https://")
        wanted = {source.path for task in DATASETS[name].tasks for source in _every_source(name, task)}
        listed = {file.removesuffix(".tar") for file in manifest["files"]}
        assert listed == wanted


def _every_source(name: str, task: str) -> list[Source]:
    record = DATASETS[name]
    variants = [record.complete({})]
    if name == "multi30k":
        tests = list(DATASETS["multi30k"].options["tests"].choices)
        variants = [
            {"language": language, "tests": tests, "photos": photos}
            for language in ("de", "fr")
            for photos in ("flickr8k", "flickr30k")
        ]
    if name == "vqa_v2":
        variants.append({**variants[0], "answers": "file"})
    return [source for options in variants for source in sources(name, task, options, "pixels", None)]


def test_the_shared_data_are_as_published(shared_data: Path, monkeypatch) -> None:
    monkeypatch.setenv("AMAD_DATA", str(shared_data))
    config = load_config(Path("configs/real-mini.yaml"))
    findings = examine_files(config)
    assert {finding.state for finding in findings} == {"ok"}
    assert all(finding.compared.startswith("sha256, records") for finding in findings)
    checks = examine_tasks(config)
    assert len(checks) == 3
    assert all(check.ok and "images in two splits: none" in check.text for check in checks)
