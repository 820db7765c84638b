"""One seed and BLEU beside sacreBLEU's own paired tests of the same outputs.

They swap sentences (randomisation) or draw them anew (bootstrap) where compare() leaves one out, and know no
seeds. The difference is the same. p agrees with randomisation's as far as its draws tell, and with twice the
bootstrap's, which sacreBLEU takes of one tail of |difference|: only where that is far from 0.
"""

import numpy as np
import pytest
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.significance import PairedTest

from amad_bench.analysis.comparisons import compare
from amad_bench.scoring.metrics import corpus_score

SENTENCES = 200
DRAWS = 2000


def system(rng, references: list[str], wrong: float) -> list[str]:
    """The references with a share of their words replaced, in some sentences more than in others."""
    of_sentence = wrong * rng.uniform(0, 2, len(references))
    return [
        " ".join("x" if rng.random() < share else word for word in text.split())
        for text, share in zip(references, of_sentence, strict=True)
    ]


def of_sacrebleu(a: list[str], b: list[str], references: list[str], test_type: str) -> tuple[float, float]:
    """(difference, p) of A against the baseline B."""
    test = PairedTest([("b", b), ("a", a)], {"BLEU": BLEU(references=[references])}, None, test_type, DRAWS)
    of_b, of_a = test()[1]["BLEU"]
    return of_a.score - of_b.score, of_a.p_value


@pytest.mark.trap("stat-20")
@pytest.mark.parametrize(
    ("wrong", "random_seed", "test_type"),
    [(0.28, 1, "ar"), (0.32, 2, "ar"), (0.30, 3, "ar"), (0.42, 4, "ar"), (0.29, 3, "bs")],
)
def test_bleu_of_two_systems(wrong: float, random_seed: int, test_type: str):
    rng = np.random.default_rng(random_seed)
    words = [f"w{number}" for number in range(200)]
    references = [" ".join(rng.choice(words, rng.integers(6, 20))) for _ in range(SENTENCES)]
    a, b = (system(rng, references, share) for share in (wrong, 0.34))
    extract = BLEU()._extract_corpus_statistics
    statistics = [np.array(extract(own, [references]), dtype=np.float64)[None] for own in (a, b)]
    found = compare(*statistics, statistic=lambda sums: np.asarray(corpus_score("BLEU", sums)))
    difference, p = of_sacrebleu(a, b, references, test_type)
    assert found.difference == pytest.approx(difference, abs=1e-6)
    assert found.scope == "this pair of runs"
    two_sided = p if test_type == "ar" else 2 * p
    draws_tell = 3 * np.sqrt(p / DRAWS) + 2 / DRAWS
    assert found.p_value == pytest.approx(two_sided, rel=0.2, abs=draws_tell)
