"""Error rates of the test of a pair under simulated nulls, beside those of the rule that it replaced.

`python -m tests.analysis.significance.calibration` prints the table, in a minute of one core.
Axes: R repetitions, S seeds, C clusters, N examples, L levels.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from amad_bench.analysis.estimates import FEWEST_CLUSTERS, variance_parts
from amad_bench.analysis.influence import Floats, influence_of_statistic, influence_of_sums, kish
from amad_bench.analysis.mean_squares import TwoWay, two_way
from amad_bench.analysis.significance.weighted_t import weighted_quantile
from amad_bench.scoring.metrics import corpus_score

LEVELS = (0.05, 0.05 / 4, 0.05 / 13)
FAR = 0.05 / 52
SEEDS = (2, 3, 5, 10)
# Standard deviations of seeds and clusters; that of an example within its cluster is 1.
EFFECTS = ((0.0, 0.3), (0.05, 0.3), (0.5, 0.3), (0.3, 1.0))


def _zipf(clusters: int, examples: int) -> np.ndarray:
    share_C = 1 / np.arange(1, clusters + 1)
    return np.maximum(1, np.round(examples * share_C / share_C.sum())).astype(np.int64)


SIZES: dict[str, np.ndarray] = {
    "20 equal": np.full(20, 10),
    "20 Zipf": _zipf(20, 200),  # 8.1 effective ones: the new rule refuses them
    "50 equal": np.full(50, 4),
    "50 Zipf": _zipf(50, 500),
    "200 equal": np.full(200, 2),
    "200 Zipf": _zipf(200, 2000),
    "200, one with 30 %": np.array([171] + [2] * 199),
}


@dataclass
class Rates:
    """Shares of repetitions that are rejected at each level, by both rules."""

    repetitions: int = 0
    new_L: Floats = field(default_factory=lambda: np.zeros(len(LEVELS)))
    old_L: Floats = field(default_factory=lambda: np.zeros(len(LEVELS)))

    def add(self, new_RL: np.ndarray, old_RL: np.ndarray) -> None:
        count = self.repetitions + len(new_RL)
        self.new_L = (self.new_L * self.repetitions + new_RL.sum(axis=0)) / count
        self.old_L = (self.old_L * self.repetitions + old_RL.sum(axis=0)) / count
        self.repetitions = count


def new_rule(value_R: Floats, squares: TwoWay, seeds: int, clusters: int, effective: float, levels=LEVELS):
    """(R, L) rejections by the package's parts and quantiles. Without variance nothing is rejected."""
    if effective < FEWEST_CLUSTERS:
        return np.zeros((len(value_R), len(levels)), dtype=bool)
    parts_RP = np.stack(variance_parts(squares, seeds, clusters), axis=-1)
    error_R = np.sqrt(parts_RP.sum(axis=-1))
    df_P = np.array([seeds - 1, effective - 1])
    limits = [weighted_quantile(parts_RP, df_P, level) * error_R for level in levels]
    return np.stack([np.abs(value_R) >= limit for limit in limits], axis=-1)  # NaN: not


def old_rule(value_R: Floats, squares: TwoWay, seeds: int, clusters: int, levels=LEVELS):
    """(R, L) rejections by Satterthwaite's single t, capped below five seeds, as it was before."""
    s, c, e = squares.seed, squares.cluster, squares.error
    count = seeds * clusters
    variance = np.maximum(s + c - e, e) / count
    spread = (s / count) ** 2 / (seeds - 1) + (c / count) ** 2 / (clusters - 1)
    spread = spread + (e / count) ** 2 / ((seeds - 1) * (clusters - 1))
    df = variance**2 / spread
    df = np.minimum(df, seeds - 1) if seeds < 5 else df
    p_R = 2 * stats.t.sf(np.abs(value_R) / np.sqrt(variance), df)
    return np.stack([p_R <= level for level in levels], axis=-1)


def old_influence(sums_SC: Floats, sizes_C: np.ndarray) -> Floats:
    """C n_c (m_sc - m_s) / N + m_s: it broke under unequal clusters."""
    examples = sizes_C.sum()
    mean_S1 = sums_SC.sum(axis=-1, keepdims=True) / examples
    return len(sizes_C) * (sums_SC - sizes_C * mean_S1) / examples + mean_S1


def drawn_sums(rng, repetitions, seeds, sizes_C, effects, truth=0.0) -> Floats:
    """(R, S, C) sums over clusters of d = truth + a_s + b_c + e, e per example."""
    seed_sd, cluster_sd = effects
    mean = truth + seed_sd * rng.standard_normal((repetitions, seeds, 1))
    mean = mean + cluster_sd * rng.standard_normal((repetitions, 1, len(sizes_C)))
    noise = rng.standard_normal((repetitions, seeds, len(sizes_C)))
    return sizes_C * mean + np.sqrt(sizes_C) * noise


def chunks(repetitions: int, numbers: int) -> Iterator[int]:
    """Repetitions in parts of some four million numbers."""
    size = max(1, 4_000_000 // numbers)
    for start in range(0, repetitions, size):
        yield min(size, repetitions - start)


def rates_of_means(name: str, seeds: int, effects, repetitions=20_000, truth=0.0, random_seed=0) -> Rates:
    """Of means over examples with clusters of some sizes."""
    rng, sizes_C, rates = np.random.default_rng(random_seed), SIZES[name], Rates()
    clusters, effective = len(sizes_C), kish(np.repeat(np.arange(len(sizes_C)), sizes_C))
    for count in chunks(repetitions, seeds * clusters):
        sums = drawn_sums(rng, count, seeds, sizes_C, effects, truth)
        value_R = sums.sum(axis=(-2, -1)) / (seeds * sizes_C.sum())
        squares = two_way(influence_of_sums(sums, sizes_C))
        new = new_rule(value_R, squares, seeds, clusters, effective)
        rates.add(new, old_rule(value_R, two_way(old_influence(sums, sizes_C)), seeds, clusters))
    return rates


def worst_of_means(name: str, seeds: int, repetitions=20_000) -> tuple[Floats, Floats]:
    """(new, old) highest rates over the sizes of effects, at each level."""
    found = [rates_of_means(name, seeds, effects, repetitions) for effects in EFFECTS]
    return np.max([one.new_L for one in found], axis=0), np.max([one.old_L for one in found], axis=0)


def rates_of_squares(seeds: int, clusters: int, effects, repetitions=1_000_000, random_seed=0):
    """(new, old) rates at .05/13 and .05/52 with equal clusters of one example.

    From the mean squares' own distributions, so that a million are cheap.
    """
    rng, (seed_sd, cluster_sd) = np.random.default_rng(random_seed), effects
    of_seeds, of_clusters = clusters * seed_sd**2, seeds * cluster_sd**2
    df = (seeds - 1, clusters - 1, (seeds - 1) * (clusters - 1))
    expected = (of_seeds + 1, of_clusters + 1, 1.0)
    squares = TwoWay(
        *(mean * rng.chisquare(n, repetitions) / n for mean, n in zip(expected, df, strict=True))
    )
    error = np.sqrt((of_seeds + of_clusters + 1) / (seeds * clusters))
    value_R, levels = error * rng.standard_normal(repetitions), (LEVELS[-1], FAR)
    new = new_rule(value_R, squares, seeds, clusters, clusters, levels)
    old = old_rule(value_R, squares, seeds, clusters, levels)
    return new.mean(axis=0), old.mean(axis=0)


def worst_of_squares(seeds: int, clusters: int) -> tuple[Floats, Floats]:
    """(new, old) highest rates over the sizes of effects, at .05/13 and .05/52."""
    new, old = np.max([rates_of_squares(seeds, clusters, effects) for effects in EFFECTS], axis=0)
    return new, old


def rates_of_vqa(seeds: int, repetitions=20_000, images=60, truth=0.0, random_seed=0) -> tuple[Rates, float]:
    """Of bounded VQA accuracies (0, .3, .6, .9, 1), two questions an image; and coverage of the difference.

    Both arms answer by the question's difficulty and their seed; A's skill is `truth` logits above B's.
    """
    rng, rates, inside = np.random.default_rng(random_seed), Rates(), 0
    grades = np.array([0.0, 0.3, 0.6, 0.9, 1.0])
    sizes_C, nodes = np.full(images, 2), np.random.default_rng(1).standard_normal((200_000, 3))
    hard, skill = 1.5 * nodes[:, 0], 0.4 * nodes[:, 1:]
    expected = float(np.mean(_graded(truth + skill[:, 0] - hard) - _graded(skill[:, 1] - hard)))
    for count in chunks(repetitions, seeds * images * 8):
        hard = 1.3 * rng.standard_normal((count, 1, images, 1)) + 0.75 * rng.standard_normal(
            (count, 1, images, 2)
        )
        skill = 0.4 * rng.standard_normal((2, count, seeds, 1, 1))
        skill[0] += truth
        noise = rng.logistic(size=(2, count, seeds, images, 2))
        graded = grades[np.clip(np.floor(skill - hard + noise + 2.5), 0, 4).astype(np.int8)]
        sums = (graded[0] - graded[1]).sum(axis=-1)
        value_R = sums.mean(axis=(-2, -1)) / 2
        squares = two_way(influence_of_sums(sums, sizes_C))
        rates.add(
            new_rule(value_R, squares, seeds, images, images),
            old_rule(value_R, squares, seeds, images),  # sizes are equal: the same influence
        )
        missed = new_rule(value_R - expected, squares, seeds, images, images)
        inside += int(np.sum(~missed[:, 0]))
    return rates, inside / repetitions


def _graded(logits: Floats) -> Floats:
    """Expected accuracy of floor(logit + logistic noise + 2.5) in 0 ... 4, by the noise's distribution."""
    above = [1 / (1 + np.exp(-(logits + 2.5 - step))) for step in (1, 2, 3, 4)]
    return 0.3 * above[0] + 0.3 * above[1] + 0.3 * above[2] + 0.1 * above[3]


def rates_of_bleu(seeds: int, repetitions=1000, sentences=200, random_seed=0) -> Rates:
    """Of BLEU by the jackknife: n-gram matches of sentences of other lengths and difficulties."""
    rng, rates = np.random.default_rng(random_seed), Rates()
    clusters = np.arange(sentences)
    for count in chunks(repetitions, seeds * sentences * 40):
        statistics = bleu_statistics(rng, (2, count, seeds, sentences))
        score = bleu(statistics.sum(axis=-2))
        value_R = np.mean(score[0] - score[1], axis=-1)
        influence = [
            influence_of_statistic(own, clusters, lambda sums: corpus_score("BLEU", sums))
            for own in statistics
        ]
        squares = two_way(influence[0] - influence[1])
        rates.add(
            new_rule(value_R, squares, seeds, sentences, sentences),
            old_rule(value_R, squares, seeds, sentences),
        )
    return rates


def bleu(sums_K: Floats) -> Floats:
    return np.asarray(corpus_score("BLEU", sums_K))


def bleu_statistics(rng, shape: tuple[int, ...], skill: float = 0.0) -> Floats:
    """(2, ..., S, N, 10) sufficient statistics of BLEU of two arms that translate the same sentences."""
    _, repetitions, seeds, sentences = shape
    length = np.maximum(5, rng.poisson(12, (1, repetitions, 1, sentences)))
    hard = rng.standard_normal((1, repetitions, 1, sentences))
    own = 0.3 * rng.standard_normal((2, repetitions, seeds, 1))
    own[0] += skill
    chance = 1 / (1 + np.exp(-(0.8 + own - 0.7 * hard)))
    system = np.maximum(4, length + rng.integers(-2, 3, shape))
    correct, total = [], [system - order for order in range(4)]
    left = system
    for order in range(4):
        left = rng.binomial(np.minimum(left, total[order]), chance)
        correct.append(left)
    return np.stack([system, np.broadcast_to(length, shape), *correct, *total], axis=-1).astype(np.float64)


def main() -> None:
    head = "".join(f"{f'new {name}':>11}{f'old {name}':>11}" for name in (".05", ".05/4", ".05/13"))
    print("Rates over the nominal level, the highest of the sizes of effects; 20,000 repetitions")
    print(f"{'clusters':<22}{'seeds':>6}{head}")
    for name in SIZES:
        for seeds in SEEDS:
            found = [rates_of_means(name, seeds, effects) for effects in EFFECTS]
            _line(
                name,
                seeds,
                [np.max([r.new_L for r in found], axis=0), np.max([r.old_L for r in found], axis=0)],
            )
    for seeds in SEEDS:
        rates, covered = rates_of_vqa(seeds)
        _line("60 images, VQA", seeds, (rates.new_L, rates.old_L), f"  coverage {covered:.3f}")
    for seeds in (3, 5):
        rates = rates_of_bleu(seeds, 1500)
        _line("200 sentences, BLEU", seeds, (rates.new_L, rates.old_L), "  1,500 repetitions")
    print("\nThe tail from a million draws of the mean squares, over nominal")
    print(
        f"{'clusters':<22}{'seeds':>6}"
        + "".join(f"{f'new {n}':>11}{f'old {n}':>11}" for n in (".05/13", ".05/52"))
    )
    for clusters in (20, 50, 200):
        for seeds in (3, 4, 5, 10):
            _line(f"{clusters} equal", seeds, worst_of_squares(seeds, clusters), levels=(LEVELS[-1], FAR))


def _line(name: str, seeds: int, rates: tuple[Floats, Floats], note: str = "", levels=LEVELS) -> None:
    new, old = rates
    shown = "".join(f"{new[i] / level:>11.2f}{old[i] / level:>11.2f}" for i, level in enumerate(levels))
    print(f"{name:<22}{seeds:>6}{shown}{note}", flush=True)


if __name__ == "__main__":
    main()
