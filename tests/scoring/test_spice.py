"""A stand-in for `java` plays SPICE, whose parser models few have; its contract: pycocoevalcap's spice.py."""

import json
import sys

import pytest

from amad_bench.runtime.run_folder.predictions import Prediction
from amad_bench.scoring import spice
from amad_bench.scoring.java import JavaFailed
from amad_bench.scoring.metrics import measure
from amad_bench.scoring.spice import MODELS, spice_scores

CAPTIONS = [(["a dog", "two dogs"], "a dog"), (["a cat"], "a dog"), (["snow"], "")]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A folder with empty files where SPICE and its models belong."""
    folder = tmp_path / "spice"
    (folder / "lib").mkdir(parents=True)
    for name in ("spice-1.0.jar", *(f"lib/{model}" for model in MODELS)):
        (folder / name).touch()
    monkeypatch.setattr(spice, "_folder", lambda: folder)
    return folder


def script(body: str) -> str:
    """A `java` in Python, run in SPICE's folder with its arguments in sys.argv."""
    return f"exec '{sys.executable}' - \"$@\" <<'PYTHON'\nimport json, os, sys\n{body}\nPYTHON"


ANSWER = """
records = json.load(open("in.json"))
f_of = lambda record: len(record["test"]) / 10
json.dump([{"image_id": r["image_id"], "scores": {"All": {"pr": 1.0, "f": f_of(r)}}} for r in records[::-1]],
          open("out.json", "w"))
"""


@pytest.mark.usefixtures("installed")
def test_scores_in_the_captions_order(fake_java):
    fake_java(script(ANSWER))
    assert spice_scores(CAPTIONS) == [0.5, 0.5, 0.0]


def test_what_java_is_given(installed, fake_java, tmp_path):
    keep = f"json.dump([sys.argv, os.getcwd(), os.listdir(), records], open({str(tmp_path / 'seen')!r}, 'w'))"
    fake_java(script(ANSWER + keep))
    spice_scores(CAPTIONS)
    arguments, folder, there, records = json.loads((tmp_path / "seen").read_text())
    assert "--add-opens=java.base/java.lang=ALL-UNNAMED" in arguments
    assert arguments[arguments.index("-jar") + 1] == str(installed / "spice-1.0.jar")
    assert {"in.json", "cache", "out.json"} <= set(there)  # a folder of its own, not pycocoevalcap's
    assert not folder.startswith(str(installed))
    assert records[0] == {"image_id": 0, "test": "a dog", "refs": ["a dog", "two dogs"]}
    assert sorted(path.name for path in installed.iterdir()) == ["lib", "spice-1.0.jar"]


def test_missing_models_are_named(installed):
    (installed / "lib" / MODELS[1]).unlink()
    with pytest.raises(
        JavaFailed, match=r"not installed: stanford-corenlp-3.6.0-models.jar in pycocoevalcap"
    ):
        spice_scores(CAPTIONS)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            "echo 'Exception in thread main: no memory' >&2; exit 1",
            "code 1: Exception in thread main: no memory",
        ),
        ("exit 0", "wrote no readable result .FileNotFoundError"),
        ("echo '[' > out.json", "wrote no readable result .JSONDecodeError"),
        ("echo '[]' > out.json", "no score for caption 1 of 3"),
        (script(ANSWER.replace("[::-1]", "[:2]")), "no score for caption 3 of 3"),
        (script(ANSWER.replace("len(record", "float('nan') * len(record")), "no score for caption 1 of 3"),
    ],
)
@pytest.mark.usefixtures("installed")
def test_no_caption_is_lost_silently(fake_java, body, reason):
    fake_java(body)
    with pytest.raises(JavaFailed, match=reason):
        spice_scores(CAPTIONS)


@pytest.mark.usefixtures("installed")
def test_a_spice_that_hangs_is_stopped(fake_java, monkeypatch):
    monkeypatch.setattr(spice, "_START_SECONDS", 0.2)
    monkeypatch.setattr(spice, "_SECONDS_PER_CAPTION", 0.0)
    fake_java("exec /bin/sleep 30")
    with pytest.raises(JavaFailed, match=r"stopped after 0\.2 s"):
        spice_scores(CAPTIONS)


@pytest.mark.usefixtures("installed")
def test_one_job_for_all_corpora(fake_java, tmp_path):
    count = f"printf x >> {tmp_path / 'spice-starts'}\n"
    tokenizer = "/bin/cat captions.txt"
    fake_java(f'case "$*" in *PTBTokenizer*) {tokenizer};; *) {count}{script(ANSWER)}\nesac')
    corpora = [
        [
            Prediction("test", "1", "", "a dog", ["a dog"], {}),
            Prediction("test", "2", "", text, ["a cat"], {}),
        ]
        for text in ("cat", "c")
    ]
    x, y = (found["SPICE"] for found in measure(["SPICE"], corpora))
    assert (x.values, x.score) == ([0.5, 0.3], 0.4)
    assert y.values == [0.5, 0.1]
    assert (tmp_path / "spice-starts").read_text() == "x"
