"""pycocoevalcap called directly, which needs a `java` on PATH (fixture `java_on_path`)."""

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

Texts = dict[str, list[str]]


def tokens(texts: Texts) -> Texts:
    return PTBTokenizer().tokenize(
        {key: [{"caption": text} for text in value] for key, value in texts.items()}
    )


def scores(gts: Texts, res: Texts) -> dict[str, tuple[float, list[float]]]:
    """Of tokens: metric -> corpus score and scores per example, all but METEOR."""
    bleu, bleu_each = Bleu(4).compute_score(gts, res, verbose=0)
    rouge, rouge_each = Rouge().compute_score(gts, res)
    cider, cider_each = Cider().compute_score(gts, res)
    return {
        **{f"Bleu_{n + 1}": (bleu[n], list(bleu_each[n])) for n in range(4)},
        "ROUGE_L": (rouge, list(rouge_each)),
        "CIDEr": (cider, list(cider_each)),
    }


def meteor(gts: Texts, res: Texts) -> tuple[float, list[float]]:
    scorer = Meteor()
    scored = scorer.compute_score(gts, res)
    scorer.meteor_p.kill()
    scorer.meteor_p.communicate()
    return scored
