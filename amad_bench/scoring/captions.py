"""Caption scores by pycocoevalcap behind its PTB tokenizer, for any number of corpora at once."""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import SupportsFloat, TypeVar

from pycocoevalcap.bleu.bleu_scorer import BleuScorer
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from amad_bench.scoring.corpus import Scores
from amad_bench.scoring.java import JavaFailed
from amad_bench.scoring.meteor import meteor_scores
from amad_bench.scoring.ptb import ptb_tokenize
from amad_bench.scoring.spice import spice_scores

BLEU = ("Bleu_1", "Bleu_2", "Bleu_3", "Bleu_4")
DEFAULT_METRICS = (*BLEU, "ROUGE_L", "CIDEr")

Key = TypeVar("Key", bound=Hashable)
Captions = Sequence[tuple[list[str], str]]  # (references, hypothesis) of each example


@dataclass(frozen=True)
class CaptionScores:
    """Scores of one corpus, in its order, and for each metric that could not be computed the reason."""

    scores: Scores = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)


def score_caption_corpora(
    corpora: Mapping[Key, Captions], metrics: Sequence[str] = DEFAULT_METRICS
) -> dict[Key, CaptionScores]:
    """Scores as pycocoevalcap 1.2 gives them: CIDEr in [0, 10], others in [0, 1].

    `metrics`: of DEFAULT_METRICS, METEOR and SPICE, whose Java programs take long to start. One start of each
    Java program serves all corpora; METEOR is started once more for each corpus that kills it. CIDEr's
    document frequencies are those of a corpus's references. Without a working Java, every metric is in
    `unavailable`. An empty hypothesis is scored as one.
    """
    found = {key: CaptionScores() for key in corpora}
    try:
        tokenised = list(zip(_tokenised(corpora.values()), found.values(), strict=True))
    except JavaFailed as failure:
        for own in found.values():
            own.unavailable.update(dict.fromkeys(metrics, f"PTB tokenizer: {failure}"))
        return found
    for captions, own in tokenised:
        _score_in_python(captions, own, metrics)
    if "METEOR" in metrics:
        _score_meteor(tokenised)
    if "SPICE" in metrics:
        _score_spice(tokenised)
    return found


def _tokenised(corpora: Iterable[Captions]) -> list[Captions]:
    """The corpora as PTB tokens."""
    blocks = []
    for captions in corpora:
        blocks.append([reference for references, _ in captions for reference in references])
        blocks.append([hypothesis for _, hypothesis in captions])
    tokens = iter(ptb_tokenize(*blocks))
    result = []
    for captions in corpora:
        flat, hypotheses = iter(next(tokens)), next(tokens)
        references = [[next(flat) for _ in references] for references, _ in captions]
        result.append(list(zip(references, hypotheses, strict=True)))
    return result


def _score_in_python(captions: Captions, own: CaptionScores, metrics: Sequence[str]) -> None:
    gts = {number: references for number, (references, _) in enumerate(captions)}
    res = {number: [hypothesis] for number, (_, hypothesis) in enumerate(captions)}
    if orders := [BLEU.index(metric) for metric in metrics if metric in BLEU]:
        own.scores.update(_bleu_scores(captions, orders))
    if "ROUGE_L" in metrics:
        own.scores["ROUGE_L"] = _floats(Rouge().compute_score(gts, res)[1]), None
    if "CIDEr" in metrics:
        if any(caption for references in gts.values() for caption in references):
            own.scores["CIDEr"] = _floats(Cider().compute_score(gts, res)[1]), None
        else:
            own.unavailable["CIDEr"] = "no reference has a word"


def _bleu_scores(captions: Captions, orders: list[int]) -> Scores:
    scorer = BleuScorer(n=4)
    for references, hypothesis in captions:
        scorer += (hypothesis, references)
    _, per_example_n = scorer.compute_score(option="closest", verbose=0)
    statistics = []
    for counts in scorer.ctest:
        length = counts["testlen"]
        closest = scorer._single_reflen(counts["reflen"], "closest", length)
        statistics.append(_floats([length, closest, *counts["guess"], *counts["correct"]]))
    return {BLEU[order]: (_floats(per_example_n[order]), statistics) for order in orders}


def _score_meteor(corpora: Sequence[tuple[Captions, CaptionScores]]) -> None:
    """Scores all; a corpus that kills the program costs itself only: those behind it get a fresh start."""
    waiting = iter(corpora)
    while rest := list(waiting):
        waiting = iter(rest)
        try:
            for _, each, statistics in meteor_scores([captions for captions, _ in rest]):
                _, own = next(waiting)
                own.scores["METEOR"] = each, statistics
        except JavaFailed as failure:
            _, own = next(waiting)
            own.unavailable["METEOR"] = str(failure)


def _score_spice(corpora: Sequence[tuple[Captions, CaptionScores]]) -> None:
    try:
        remaining = iter(spice_scores([pair for captions, _ in corpora for pair in captions]))
    except JavaFailed as failure:
        for _, own in corpora:
            own.unavailable["SPICE"] = str(failure)
        return
    for captions, own in corpora:
        own.scores["SPICE"] = [next(remaining) for _ in captions], None


def _floats(values: Iterable[SupportsFloat]) -> list[float]:
    return [float(value) for value in values]
