"""SPICE of captions, by the Java program that pycocoevalcap brings, where its parser models were added."""

import json
import math
import tempfile
from importlib.resources import files
from pathlib import Path

import numpy as np

from amad_bench.scoring.coco import Captions, tokenised
from amad_bench.scoring.java import JavaFailed, run_java
from amad_bench.scoring.measured import Corpora, Measured

MODELS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")

_START_SECONDS = 600.0
_SECONDS_PER_CAPTION = 1.0
# Its serialisation library looks into private fields of these packages, which Java 17 and later refuse.
_PACKAGES = ("lang", "math", "net", "text", "util", "util.concurrent")
_OPENED = [f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in _PACKAGES]

_ARGUMENTS = ("in.json", "-cache", "cache", "-out", "out.json", "-silent")


def measure_spice(corpora: Corpora) -> list[Measured]:
    tokens = corpora.once(tokenised)
    if isinstance(tokens, str):
        return corpora.all_unavailable(tokens)
    try:
        remaining = iter(spice_scores([caption for captions in tokens for caption in captions]))
    except JavaFailed as failure:
        return corpora.all_unavailable(str(failure))
    found = []
    for captions in tokens:
        each = [next(remaining) for _ in captions]
        found.append(Measured(float(np.mean(each)), each))
    return found


def spice_scores(captions: Captions) -> list[float]:
    """SPICE's F score of each caption as pycocoevalcap 1.2 gives it; a corpus score is their mean.

    One start of Java, in a private temporary folder (pycocoevalcap writes into its own). JavaFailed when the
    models are missing, Java dies or hangs, or an answer is missing or no number.
    """
    folder = _folder()
    missing = [name for name in MODELS if not (folder / "lib" / name).is_file()]
    if missing:
        raise JavaFailed(
            f"its parser models are not installed: {' and '.join(missing)} in pycocoevalcap's spice/lib "
            "(from stanford-corenlp-full-2015-12-09.zip of nlp.stanford.edu)"
        )
    records = [
        {"image_id": number, "test": hypothesis, "refs": references}
        for number, (references, hypothesis) in enumerate(captions)
    ]
    with tempfile.TemporaryDirectory(prefix="amad-spice-") as name:
        private = Path(name)
        (private / "cache").mkdir()
        (private / "in.json").write_text(json.dumps(records), encoding="utf-8")
        run_java(
            [*_OPENED, "-Xmx8G", "-jar", str(folder / "spice-1.0.jar"), *_ARGUMENTS],
            folder=private,
            timeout=_START_SECONDS + _SECONDS_PER_CAPTION * len(captions),
        )
        return _read(private / "out.json", len(captions))


def _read(path: Path, expected: int) -> list[float]:
    try:
        answers = json.loads(path.read_text(encoding="utf-8"))
        scores = {answer["image_id"]: float(answer["scores"]["All"]["f"]) for answer in answers}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise JavaFailed(f"SPICE wrote no readable result ({type(error).__name__}: {error})") from None
    for number in range(expected):
        if not math.isfinite(scores.get(number, math.nan)):
            raise JavaFailed(f"SPICE gave no score for caption {number + 1} of {expected}")
    return [scores[number] for number in range(expected)]


def _folder() -> Path:
    return Path(str(files("pycocoevalcap.spice")))
