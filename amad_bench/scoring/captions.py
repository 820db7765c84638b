"""Caption scores by pycocoevalcap behind its PTB tokenizer, run so that no caption is ever lost."""

import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import SupportsFloat

import pandas as pd
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS, STANFORD_CORENLP_3_4_1_JAR

from amad_bench.runtime.errors import UserError, did_you_mean
from amad_bench.scoring.java import JavaDialogue, JavaFailed, run_java

BLEU = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4")
DEFAULT_METRICS = (*BLEU, "ROUGE_L", "CIDEr")
METRICS = (*DEFAULT_METRICS, "METEOR")

# What the PTB lexer takes for a line's end; one inside a caption would shift every caption after it.
_LINE_BREAKS = re.compile("[\r\n\v\f\u2028\u2029]")
_TOKENIZER_TIMEOUT = 600.0
_METEOR_TIMEOUT = 1800.0

Tokens = dict[str, list[str]]  # example id -> tokenised captions


@dataclass(frozen=True)
class CaptionScores:
    """`corpus`: metric -> score. `per_example`: example_id and a column per metric that could be computed.

    `unavailable`: metric -> reason. `bleu_statistics`: example id -> [testlen, reflen, guess 1..4,
    correct 1..4], whose sum gives the corpus Bleu_n (`scoring.corpus`); empty unless a Bleu_n was asked for.
    """

    corpus: dict[str, float]
    per_example: pd.DataFrame
    unavailable: dict[str, str]
    bleu_statistics: dict[str, list[float]]


def score_captions(
    references: dict[str, list[str]], hypotheses: dict[str, str], metrics: Iterable[str] | None = None
) -> CaptionScores:
    """Scores as pycocoevalcap 1.2 gives them: CIDEr in [0, 10], others in [0, 1]; in the references' order.

    `metrics`: some of METRICS; by default all but METEOR, whose Java program takes seconds to start. CIDEr's
    document frequencies are those of `references`. Without a working Java, every metric is in `unavailable`.
    UserError when the two have different ids, an example has no reference, or a metric is unknown. An empty
    hypothesis is scored as one.
    """
    wanted = _known(DEFAULT_METRICS if metrics is None else metrics)
    _check_ids(references, hypotheses)
    ids = list(references)
    scores = CaptionScores({}, pd.DataFrame({"example_id": pd.Series(ids, dtype="str")}), {}, {})
    try:
        flat_references, flat_hypotheses = ptb_tokenize(
            [caption for example in ids for caption in references[example]],
            [hypotheses[example] for example in ids],
        )
    except JavaFailed as failure:
        scores.unavailable.update(dict.fromkeys(wanted, f"PTB tokenizer: {failure}"))
        return scores
    remaining = iter(flat_references)
    gts: Tokens = {example: [next(remaining) for _ in references[example]] for example in ids}
    res: Tokens = {example: [tokens] for example, tokens in zip(ids, flat_hypotheses, strict=True)}

    if any(metric in BLEU for metric in wanted):
        _score_bleu(gts, res, [metric for metric in wanted if metric in BLEU], scores)
    if "ROUGE_L" in wanted:
        _record(scores, "ROUGE_L", *Rouge().compute_score(gts, res))
    if "CIDEr" in wanted:
        if any(flat_references):
            _record(scores, "CIDEr", *Cider().compute_score(gts, res))
        else:
            scores.unavailable["CIDEr"] = "no reference has a word"
    if "METEOR" in wanted:
        try:
            _record(scores, "METEOR", *_meteor(gts, res))
        except JavaFailed as failure:
            scores.unavailable["METEOR"] = str(failure)
    return scores


def ptb_tokenize(*blocks: list[str]) -> list[list[str]]:
    """pycocoevalcap's PTB tokens (lower case, without punctuation, joined by blanks) of lists of captions.

    All in one start of Java, in a private temporary folder. JavaFailed when Java dies, hangs or returns
    another number of lines than it got. As in pycocoevalcap, a caption that ends in an abbreviation is read
    in the light of the next one; the blank line between blocks acts as the end of a file.
    """
    lines = "\n\n".join("\n".join(_LINE_BREAKS.sub(" ", caption) for caption in block) for block in blocks)
    expected = sum(len(block) for block in blocks) + len(blocks) - 1
    jar = files("pycocoevalcap.tokenizer") / STANFORD_CORENLP_3_4_1_JAR
    with tempfile.TemporaryDirectory(prefix="amad-ptb-") as folder, as_file(jar) as jar_path:
        # A lone surrogate (half an emoji in broken JSON) has no UTF-8 form; as "?" it is dropped below.
        Path(folder, "captions.txt").write_bytes(lines.encode(errors="replace"))
        output = run_java(
            [
                "-cp",
                str(jar_path),
                "edu.stanford.nlp.process.PTBTokenizer",
                "-preserveLines",
                "-lowerCase",
                "captions.txt",
            ],
            folder=Path(folder),
            timeout=_TOKENIZER_TIMEOUT,
        )
    tokenised = output.split("\n")
    if len(tokenised) != expected:
        raise JavaFailed(f"{expected} lines went in, {len(tokenised)} came out")
    remaining = iter(tokenised)
    result = []
    for block in blocks:
        result.append([_without_punctuation(next(remaining)) for _ in block])
        next(remaining, None)  # the blank line between blocks
    return result


def _without_punctuation(line: str) -> str:
    return " ".join(word for word in line.rstrip().split(" ") if word not in PUNCTUATIONS)


def _score_bleu(gts: Tokens, res: Tokens, wanted: list[str], scores: CaptionScores) -> None:
    scorer = BleuScorer(n=4)
    for example, (hypothesis,) in res.items():
        scorer += (hypothesis, gts[example])
    corpus_n, per_example_n = scorer.compute_score(option="closest", verbose=0)
    for metric in wanted:
        order = BLEU.index(metric)
        _record(scores, metric, corpus_n[order], per_example_n[order])
    for example, counts in zip(res, scorer.ctest, strict=True):
        length = counts["testlen"]
        closest = scorer._single_reflen(counts["reflen"], "closest", length)
        statistics = [length, closest, *counts["guess"], *counts["correct"]]
        scores.bleu_statistics[example] = [float(value) for value in statistics]


def _meteor(gts: Tokens, res: Tokens) -> tuple[float, list[float]]:
    """METEOR 1.5 as pycocoevalcap asks for it: statistics per caption, then one evaluation of them all."""
    jar = files("pycocoevalcap.meteor") / "meteor-1.5.jar"  # finds its data folder beside itself
    arguments = ["-Xmx2G", "-jar", str(jar), "-", "-", "-stdio", "-l", "en", "-norm"]
    with JavaDialogue(arguments, timeout=_METEOR_TIMEOUT) as meteor:
        statistics = []
        for example, (hypothesis,) in res.items():
            hypothesis = hypothesis.replace("|||", "").replace("  ", " ")
            meteor.send(" ||| ".join(["SCORE", *gts[example], hypothesis]))
            statistics.append(meteor.receive())
        meteor.send(" ||| ".join(["EVAL", *statistics]))
        try:
            per_example = [float(meteor.receive()) for _ in statistics]
            return float(meteor.receive()), per_example
        except ValueError as error:
            raise JavaFailed(f"METEOR answered with no number: {error}") from None


def _record(scores: CaptionScores, metric: str, corpus: SupportsFloat, per_example: Iterable[float]) -> None:
    scores.corpus[metric] = float(corpus)
    scores.per_example[metric] = pd.Series([float(value) for value in per_example], dtype="float64")


def _known(metrics: Iterable[str]) -> list[str]:
    wanted = list(dict.fromkeys(metrics))
    for metric in wanted:
        if metric not in METRICS:
            raise UserError(
                f"caption metric {metric!r} is unknown; expected some of {', '.join(METRICS)}."
                f"{did_you_mean(metric, METRICS)}"
            )
    return wanted


def _check_ids(references: dict[str, list[str]], hypotheses: dict[str, str]) -> None:
    if not references:
        raise UserError("captions: nothing to score; expected at least one example with references")
    for example in references:
        if example not in hypotheses:
            raise UserError(
                f"captions: example {example!r} has references but no hypothesis; predict every example"
            )
        if not references[example]:
            raise UserError(
                f"captions: example {example!r} has no reference caption; give one or leave the example out"
            )
    for example in hypotheses:
        if example not in references:
            raise UserError(
                f"captions: example {example!r} has a hypothesis but no references; score the same examples"
            )
