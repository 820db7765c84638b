"""Caption scores by pycocoevalcap behind its PTB tokenizer, for any number of corpora at once."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import SupportsFloat, TypeVar

import numpy as np
import pandas as pd
from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from amad_bench.runtime.errors import UserError, did_you_mean
from amad_bench.scoring.java import JavaFailed
from amad_bench.scoring.meteor import meteor_scores
from amad_bench.scoring.ptb import ptb_tokenize
from amad_bench.scoring.spice import spice_scores

BLEU = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4")
DEFAULT_METRICS = (*BLEU, "ROUGE_L", "CIDEr")
METRICS = (*DEFAULT_METRICS, "METEOR", "SPICE")

Key = TypeVar("Key", bound=Hashable)
Texts = dict[str, list[str]]  # example id -> captions


@dataclass(frozen=True)
class CaptionScores:
    """Scores of one corpus.

    `corpus`: metric -> score. `per_example`: example_id and a column per metric that could be computed.
    `unavailable`: metric -> reason. `statistics`: metric -> a row per example, whose sum gives the corpus
    score (`scoring.corpus`); Bleu_n and METEOR have them, the others are means of their column.
    """

    corpus: dict[str, float]
    per_example: pd.DataFrame
    unavailable: dict[str, str]
    statistics: dict[str, list[list[float]]]


@dataclass(frozen=True)
class _Corpus:
    """One corpus, tokenised, and its scores so far."""

    references: Texts
    hypotheses: Texts
    scores: CaptionScores

    @property
    def pairs(self) -> list[tuple[list[str], str]]:
        return [(self.references[example], text) for example, (text,) in self.hypotheses.items()]


def score_captions(
    references: Texts, hypotheses: dict[str, str], metrics: Iterable[str] | None = None
) -> CaptionScores:
    """Scores as pycocoevalcap 1.2 gives them: CIDEr in [0, 10], others in [0, 1]; in the references' order.

    `metrics`: some of METRICS; by default all but METEOR and SPICE, whose Java programs take long to start.
    CIDEr's document frequencies are those of `references`. Without a working Java, every metric is in
    `unavailable`. UserError when the two have different ids, an example has no reference, or a metric is
    unknown. An empty hypothesis is scored as one.
    """
    return score_caption_corpora({"": (references, hypotheses)}, metrics)[""]


def score_caption_corpora(
    corpora: Mapping[Key, tuple[Texts, dict[str, str]]], metrics: Iterable[str] | None = None
) -> dict[Key, CaptionScores]:
    """`score_captions` of each (references, hypotheses), with one start of Java per Java program for all.

    METEOR is started once more for each corpus that kills it.
    """
    wanted = _known(DEFAULT_METRICS if metrics is None else metrics)
    for references, hypotheses in corpora.values():
        _check_ids(references, hypotheses)
    scores = {key: _no_scores(references) for key, (references, _) in corpora.items()}
    try:
        tokens = _tokenised(corpora.values())
    except JavaFailed as failure:
        for scored in scores.values():
            scored.unavailable.update(dict.fromkeys(wanted, f"PTB tokenizer: {failure}"))
        return scores
    tokenised = [_Corpus(*texts, scored) for texts, scored in zip(tokens, scores.values(), strict=True)]
    for corpus in tokenised:
        _score_in_python(corpus, wanted)
    if "METEOR" in wanted:
        _score_meteor(tokenised)
    if "SPICE" in wanted:
        _score_spice(tokenised)
    return scores


def _tokenised(corpora: Iterable[tuple[Texts, dict[str, str]]]) -> list[tuple[Texts, Texts]]:
    """References and hypotheses of every corpus as PTB tokens, both in the references' order."""
    pairs = list(corpora)
    blocks = []
    for references, hypotheses in pairs:
        blocks.append([caption for captions in references.values() for caption in captions])
        blocks.append([hypotheses[example] for example in references])
    tokens = iter(ptb_tokenize(*blocks))
    result = []
    for references, _ in pairs:
        flat, each = iter(next(tokens)), next(tokens)
        result.append(
            (
                {example: [next(flat) for _ in captions] for example, captions in references.items()},
                {example: [text] for example, text in zip(references, each, strict=True)},
            )
        )
    return result


def _score_in_python(corpus: _Corpus, wanted: list[str]) -> None:
    gts, res, scores = corpus.references, corpus.hypotheses, corpus.scores
    if any(metric in BLEU for metric in wanted):
        _score_bleu(corpus, [metric for metric in wanted if metric in BLEU])
    if "ROUGE_L" in wanted:
        _record(scores, "ROUGE_L", *Rouge().compute_score(gts, res))
    if "CIDEr" in wanted:
        if any(caption for captions in gts.values() for caption in captions):
            _record(scores, "CIDEr", *Cider().compute_score(gts, res))
        else:
            scores.unavailable["CIDEr"] = "no reference has a word"


def _score_bleu(corpus: _Corpus, wanted: list[str]) -> None:
    scorer = BleuScorer(n=4)
    for references, hypothesis in corpus.pairs:
        scorer += (hypothesis, references)
    corpus_n, per_example_n = scorer.compute_score(option="closest", verbose=0)
    statistics = []
    for counts in scorer.ctest:
        length = counts["testlen"]
        closest = scorer._single_reflen(counts["reflen"], "closest", length)
        statistics.append([float(n) for n in (length, closest, *counts["guess"], *counts["correct"])])
    for metric in wanted:
        order = BLEU.index(metric)
        _record(corpus.scores, metric, corpus_n[order], per_example_n[order])
        corpus.scores.statistics[metric] = statistics


def _score_meteor(corpora: list[_Corpus]) -> None:
    """Scores all; a corpus that kills the program costs itself only: those behind it get a fresh start."""
    waiting = iter(corpora)
    while rest := list(waiting):
        waiting = iter(rest)
        try:
            for total, each, statistics in meteor_scores([corpus.pairs for corpus in rest]):
                corpus = next(waiting)
                _record(corpus.scores, "METEOR", total, each)
                corpus.scores.statistics["METEOR"] = statistics
        except JavaFailed as failure:
            next(waiting).scores.unavailable["METEOR"] = str(failure)


def _score_spice(corpora: list[_Corpus]) -> None:
    try:
        remaining = iter(spice_scores([pair for corpus in corpora for pair in corpus.pairs]))
    except JavaFailed as failure:
        for corpus in corpora:
            corpus.scores.unavailable["SPICE"] = str(failure)
        return
    for corpus in corpora:
        each = [next(remaining) for _ in corpus.pairs]
        _record(corpus.scores, "SPICE", np.mean(each), each)


def _no_scores(references: Texts) -> CaptionScores:
    examples = pd.DataFrame({"example_id": pd.Series(list(references), dtype="str")})
    return CaptionScores({}, examples, {}, {})


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
