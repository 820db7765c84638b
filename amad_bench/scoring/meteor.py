"""METEOR 1.5 for English captions, by the Java program that pycocoevalcap brings."""

import math
from collections.abc import Iterator, Sequence
from importlib.resources import files

import numpy as np

from amad_bench.plan.catalogue import METRICS
from amad_bench.scoring.coco import Captions, tokenised
from amad_bench.scoring.java import JavaDialogue, JavaFailed
from amad_bench.scoring.measured import Corpora, Measured

_START_SECONDS = 300.0  # it takes 9 to 12 s, but how busy is the machine?
_SECONDS_PER_CAPTION = 0.1  # it takes 2 ms
_CHUNKS, _MATCHED_WORDS = 20, (21, 22)  # places in METEOR's statistics

# Its statistics; pairs are hypothesis, reference: words; function words; for each of 4 matchers the pair of
# content words and that of function words; chunks (0 where a segment matches word for word); matched words.
_STATISTICS = METRICS["METEOR"].statistics

Scored = tuple[float, list[float], list[list[float]]]  # corpus score, per caption: score and statistics


def measure_meteor(corpora: Corpora) -> list[Measured]:
    """One start of Java, and one more behind each corpus that kills the program: it costs itself only."""
    tokens = corpora.once(tokenised)
    if isinstance(tokens, str):
        return corpora.all_unavailable(tokens)
    found: list[Measured] = []
    while len(found) < len(tokens):
        try:
            for score, each, statistics in meteor_scores(tokens[len(found) :]):
                found.append(Measured(score, each, statistics))
        except JavaFailed as failure:
            found.append(Measured(unavailable=str(failure)))
    return found


def total_meteor(summed: np.ndarray) -> np.ndarray:
    """METEOR 1.5 with its English parameters (Denkowski and Lavie 2014)."""
    alpha, beta, gamma, delta = 0.85, 0.2, 0.6, 0.75
    weight_m = np.array([1.0, 0.6, 0.8, 0.6])  # exact, stem, synonym, paraphrase
    words_s, function_s = summed[..., 0:2], summed[..., 2:4]  # s: hypothesis, reference
    matches = summed[..., 4:20].reshape(*summed.shape[:-1], 4, 2, 2)  # (..., m, content or function, s)
    content_s, functional_s = ((weight_m[:, None] * matches[..., kind, :]).sum(axis=-2) for kind in (0, 1))
    weighted_s = delta * (words_s - function_s) + (1.0 - delta) * function_s
    share_s = (delta * content_s + (1.0 - delta) * functional_s) / np.where(weighted_s > 0, weighted_s, 1.0)
    precision, recall = share_s[..., 0], share_s[..., 1]
    matched = (precision > 0) & (recall > 0)
    divisor = (1.0 - alpha) / np.where(matched, precision, 1.0) + alpha / np.where(matched, recall, 1.0)
    matched_words = summed[..., 21:23].mean(axis=-1)
    fragmentation = summed[..., 20] / np.where(matched_words > 0, matched_words, 1.0)
    return np.where(matched, (1.0 - gamma * fragmentation**beta) / divisor, 0.0)


def meteor_scores(corpora: Sequence[Captions]) -> Iterator[Scored]:
    """The corpora's scores as pycocoevalcap 1.2 asks for them, one by one, from one start of Java.

    The statistics of a corpus sum up to its score (`total_meteor`). JavaFailed when Java dies or hangs;
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
            yield total, each, [_summable(_numbers(answer, _STATISTICS)) for answer in answers]


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
