"""METEOR 1.5 for English captions, by the Java program that pycocoevalcap brings."""

import math
from collections.abc import Iterator, Sequence
from importlib.resources import files

from amad_bench.scoring.corpus import STATISTICS
from amad_bench.scoring.java import JavaDialogue, JavaFailed

_START_SECONDS = 300.0  # it takes 9 to 12 s, but how busy is the machine?
_SECONDS_PER_CAPTION = 0.1  # it takes 2 ms
_CHUNKS, _MATCHED_WORDS = 20, (21, 22)  # places in METEOR's statistics

Captions = Sequence[tuple[list[str], str]]  # (references, hypothesis), tokenised
Scored = tuple[float, list[float], list[list[float]]]  # corpus score, per caption: score and statistics


def meteor_scores(corpora: Sequence[Captions]) -> Iterator[Scored]:
    """The corpora's scores as pycocoevalcap 1.2 asks for them, one by one, from one start of Java.

    The statistics of a corpus sum up to its score (`scoring.corpus`). JavaFailed when Java dies or hangs;
    what was yielded by then is right.
    """
    folder = files("pycocoevalcap.meteor")
    arguments = ["-Xmx2G", "-jar", str(folder / "meteor-1.5.jar"), "-", "-", "-stdio", "-l", "en", "-norm"]
    # By itself it finds them beside the jar, but not below a folder with a blank or an umlaut in its name.
    arguments += ["-a", str(folder / "data" / "paraphrase-en.gz")]
    timeout = _START_SECONDS + _SECONDS_PER_CAPTION * sum(map(len, corpora))
    with JavaDialogue(arguments, timeout) as java:
        for captions in corpora:
            answers = [_statistics(java, *caption) for caption in captions]
            java.send(" ||| ".join(["EVAL", *answers]))
            each = [_numbers(java.receive(), 1)[0] for _ in answers]
            total = _numbers(java.receive(), 1)[0]
            yield total, each, [_summable(_numbers(answer, STATISTICS["METEOR"])) for answer in answers]


def _statistics(java: JavaDialogue, references: list[str], hypothesis: str) -> str:
    java.send(" ||| ".join(["SCORE", *references, hypothesis.replace("|||", "").replace("  ", " ")]))
    return java.receive()


def _summable(statistics: list[float]) -> list[float]:
    """METEOR leaves the one chunk of a caption that matches word for word out of its sums."""
    words = [statistics[place] for place in _MATCHED_WORDS]
    if statistics[_CHUNKS] == 1 and words == statistics[:2]:
        statistics[_CHUNKS] = 0.0
    return statistics


def _numbers(line: str, expected: int) -> list[float]:
    try:
        numbers = [float(number) for number in line.split()]
    except ValueError:
        numbers = []
    if len(numbers) != expected or not all(map(math.isfinite, numbers)):
        raise JavaFailed(f"METEOR answered {line[:60]!r} where {expected} numbers were expected")
    return numbers
