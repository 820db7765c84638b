"""Random examples in the shapes of a run's data: what its training costs, without any file.

Axes: N examples, L tokens, M images, R regions, F features, S pixels of a side.
"""

import numpy as np
from tokenizers import Tokenizer as Backend
from tokenizers.models import WordLevel

from amad_bench.data.images.features import MappedFeatures
from amad_bench.data.images.pixels import StoredPixels
from amad_bench.data.images.table import ImageTable
from amad_bench.data.tasks.data import Split, TaskData
from amad_bench.data.text.tokenizer import SpecialIds, Tokenizer
from amad_bench.plan.cost.data_facts import DataFacts
from amad_bench.plan.run_config import RunConfig

IMAGES = 64  # different ones
SPECIAL = SpecialIds(pad=0, eos=1, unknown=2, bos=3, mask=4, start=5)
_ORDINARY = 6  # ids from here on are words


def synthetic_data(config: RunConfig, facts: DataFacts, examples: int) -> TaskData:
    """Training, validation and test are the same examples, none with padding; equal for equal arguments."""
    random = np.random.default_rng(0)
    split = _split(facts, examples, random)
    return TaskData(split, split, split, _images(config, random), _tokenizer(facts.vocabulary), {}, {})


def _split(facts: DataFacts, examples: int, random: np.random.Generator) -> Split:
    names = [f"e{number}" for number in range(examples)]
    source_ids_NL, target_ids_NL = (
        random.integers(_ORDINARY, facts.vocabulary, (examples, length))
        for length in (facts.source, facts.target)
    )
    return Split(
        names,
        names,
        source_ids_NL,
        target_ids_NL,
        np.arange(examples) % IMAGES,
        [[name] for name in names],
        [{} for _ in names],
        [{} for _ in names],
        SPECIAL.pad,
    )


def _tokenizer(vocabulary: int) -> Tokenizer:
    words = {f"w{number}": number for number in range(vocabulary)}
    return Tokenizer(Backend(WordLevel(words, unk_token="w2")), SPECIAL)


def _images(config: RunConfig, random: np.random.Generator) -> ImageTable:
    ids, inputs = [f"i{number}" for number in range(IMAGES)], config.inputs
    if inputs.patches is not None:
        size = inputs.patches[0]
        return StoredPixels(ids, random.integers(0, 256, (IMAGES, 3, size, size), np.uint8))
    regions, features = inputs.regions or 0, inputs.feature_size or 0
    return MappedFeatures(
        ids,
        random.standard_normal((IMAGES, regions, features), np.float32),
        random.random((IMAGES, regions, 4), np.float32),
        np.ones((IMAGES, regions), bool),
    )
