"""Translation scores by sacreBLEU, with signatures."""

from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF
from sacrebleu.metrics.ter import TER

from amad_bench.runtime.errors import UserError
from amad_bench.scoring.corpus import Scores, corpus_score

# Parameters that change the score and that sacreBLEU's signature leaves out
_NOT_IN_SIGNATURE = {
    **dict.fromkeys(("BLEU", "BLEU_lc"), "|max_ngram_order:4"),
    "chrF2": "|beta:2",
    "TER": "",
}


def score_translations(references: list[str], hypotheses: list[str]) -> tuple[Scores, dict[str, str]]:
    """sacreBLEU's BLEU, chrF2, TER (that ignores case) and BLEU_lc (of lower-cased texts), with signatures.

    Values are those of sentences, in [0, 100] (TER may exceed it), BLEU's with sacreBLEU's effective order. A
    signature names the parameters, too, that sacreBLEU leaves out. UserError for empty lists or lists of
    unequal length.
    """
    if not references or len(references) != len(hypotheses):
        raise UserError(
            f"translation: {len(references)} references and {len(hypotheses)} hypotheses; "
            "expected one of each per sentence, at least one sentence"
        )
    scorers = {"BLEU": BLEU(), "chrF2": CHRF(), "TER": TER(), "BLEU_lc": BLEU(lowercase=True)}
    scores: Scores = {}
    signatures = {}
    for metric, scorer in scorers.items():
        # The first half of sacreBLEU's `corpus_score`; the whole, which is public, keeps no statistics.
        counts = scorer._extract_corpus_statistics(hypotheses, [references])
        statistics = [[float(value) for value in row] for row in counts]
        scores[metric] = [_sentence_score(metric, row) for row in counts], statistics
        signatures[metric] = f"{scorer.get_signature()}{_NOT_IN_SIGNATURE[metric]}"
    return scores, signatures


def _sentence_score(metric: str, statistics: list[int]) -> float:
    if not metric.startswith("BLEU"):
        return float(corpus_score(metric, statistics))
    score = BLEU.compute_bleu(
        correct=statistics[2:6],
        total=statistics[6:],
        sys_len=statistics[0],
        ref_len=statistics[1],
        smooth_method="exp",
        effective_order=True,
    )
    return float(score.score)
