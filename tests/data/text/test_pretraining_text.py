from itertools import groupby, pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amad_bench.data.text.pretraining_text import corrupt_spans, mask_ids

IGNORED = -100
WORDS = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), min_size=1, max_size=60)
SEEDS = st.integers(0, 2**32)


def name(i: int) -> str:
    return f"<extra_id_{i}>"


class Chosen(np.random.Generator):
    """Masks the words that a test names: they come first in its only permutation."""

    def __init__(self, *places: int) -> None:
        super().__init__(np.random.PCG64(0))
        self.places = places

    def permutation(self, x):  # pyright: ignore[reportIncompatibleMethodOverride]
        return np.array([*self.places, *sorted(set(range(x)) - set(self.places))])


@pytest.mark.parametrize(
    ("text", "rate", "masked", "source", "target"),
    [
        ("a red dog", 0.15, (1,), "a <extra_id_0> dog", "<extra_id_0> red"),
        ("dog", 0.15, (0,), "<extra_id_0>", "<extra_id_0> dog"),
        ("a b c d", 0.5, (3, 0), "<extra_id_0> b c <extra_id_1>", "<extra_id_0> a <extra_id_1> d"),
        ("a b c d", 0.75, (2, 1, 3), "a <extra_id_0>", "<extra_id_0> b c d"),
        (
            "a b c d e f g h",
            0.5,
            (6, 0, 2, 1),
            "<extra_id_0> d e f <extra_id_1> h",
            "<extra_id_0> a b c <extra_id_1> g",
        ),
    ],
)
def test_hand_cases(text, rate, masked, source, target):
    found = corrupt_spans(text.split(), name, Chosen(*masked), rate)
    assert tuple(map(" ".join, found)) == (source, target)


@pytest.mark.trap("pre-3")
@given(WORDS, SEEDS)
def test_source_and_target_joined_are_the_text(words, seed):
    source, target = corrupt_spans(words, name, np.random.default_rng(seed))
    spans: dict[str, list[str]] = {}
    for word in target:
        if word.startswith("<"):
            spans[word] = []
        else:
            spans[list(spans)[-1]].append(word)
    assert [word for part in source for word in spans.get(part, [part])] == words
    assert (
        list(spans) == [word for word in source if word.startswith("<")] == list(map(name, range(len(spans))))
    )
    assert all(spans.values())
    assert sum(map(len, spans.values())) == max(int(0.15 * len(words)), 1)
    assert not any(one.startswith("<") and two.startswith("<") for one, two in pairwise(source))


def corrupted_by_runs(words: list[str], masked: set[int]) -> tuple[list[str], list[str]]:
    """Written from the description of T5's objective: runs of masked and of kept words."""
    source, target, spans = [], [], 0
    for is_masked, places in groupby(range(len(words)), lambda place: place in masked):
        run = [words[place] for place in places]
        source += [name(spans)] if is_masked else run
        target += [name(spans), *run] if is_masked else []
        spans += is_masked
    return source, target


@given(WORDS, SEEDS, st.sampled_from([0.15, 0.5, 0.9]))
def test_another_implementation_gives_the_same(words, seed, rate):
    count = max(int(rate * len(words)), 1)
    masked = set(np.random.default_rng(seed).permutation(len(words))[:count].tolist())
    assert corrupt_spans(words, name, np.random.default_rng(seed), rate) == corrupted_by_runs(words, masked)


def test_every_word_is_masked_equally_often():
    generator, counts = np.random.default_rng(0), np.zeros(20)
    for _ in range(4000):
        counts[
            [
                int(word)
                for word in corrupt_spans([*map(str, range(20))], name, generator)[1]
                if word.isdigit()
            ]
        ] += 1
    assert counts.sum() == 3 * 4000
    np.testing.assert_allclose(counts, 600, atol=5 * np.sqrt(600))


def test_no_words():
    with pytest.raises(ValueError, match="at least one word"):
        corrupt_spans([], name, np.random.default_rng(0))


PAD, EOS, START, MASK, VOCABULARY = 0, 1, 3, 9, 1000
SPECIAL = [PAD, EOS, START, MASK]
LENGTHS = np.random.default_rng(7).integers(1, 40, 4000)


def texts() -> np.ndarray:
    ids_BT = np.full((len(LENGTHS), 42), PAD)
    for row, length in enumerate(LENGTHS):
        ids_BT[row, : length + 2] = [START, *np.random.default_rng(row).integers(10, VOCABULARY, length), EOS]
    return ids_BT


def test_masked_words_as_in_bert():
    """80 % hidden, 10 % another word, 10 % as they were; the labels are the words that stood there."""
    ids_BT = texts()
    before = ids_BT.copy()
    input_BT, labels_BT = mask_ids(ids_BT, SPECIAL, MASK, VOCABULARY, np.random.default_rng(1))
    assert np.array_equal(ids_BT, before)
    chosen = labels_BT != IGNORED
    assert np.array_equal(labels_BT[chosen], ids_BT[chosen])
    assert np.array_equal(input_BT[~chosen], ids_BT[~chosen])
    assert not np.isin(ids_BT[chosen], SPECIAL).any()
    assert (chosen.sum(axis=1) >= 1).all()
    long = LENGTHS >= 30  # short texts are masked more often, because one word always is
    assert abs(chosen[long].sum() / LENGTHS[long].sum() - 0.15) < 0.005
    hidden, same = (input_BT == MASK)[chosen].mean(), (input_BT == ids_BT)[chosen].mean()
    assert abs(hidden - 0.8) < 0.01
    assert abs(same - 0.1) < 0.01
    drawn = input_BT[chosen & (input_BT != MASK) & (input_BT != ids_BT)]
    assert not np.isin(drawn, SPECIAL).any()
    assert len(set(drawn.tolist())) > 500


def test_a_text_of_one_word_is_always_masked_and_one_of_none_never():
    ids_BT = np.tile([[START, 77, EOS, PAD], [START, EOS, PAD, PAD]], (50, 1))
    input_BT, labels_BT = mask_ids(ids_BT, SPECIAL, MASK, VOCABULARY, np.random.default_rng(1))
    assert set(map(tuple, labels_BT[::2].tolist())) == {(IGNORED, 77, IGNORED, IGNORED)}
    assert (labels_BT[1::2] == IGNORED).all()
    assert np.array_equal(input_BT[1::2], ids_BT[1::2])


def test_masking_depends_on_the_generator_only():
    one, two, other = (
        mask_ids(texts(), SPECIAL, MASK, VOCABULARY, np.random.default_rng(s))[0] for s in (1, 1, 2)
    )
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
