"""Lengths and numbers of the examples that a run reads: of its prepared data, or else estimated."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from amad_bench.plan.catalogue import TASKS
from amad_bench.plan.run_config import DataSpec, RunConfig
from amad_bench.runtime.results import RESULTS

PRETRAINED_VOCABULARY = 32_000  # T5 has 32,100 tokens, BERT 30,522
_PRETRAINING_TOKENS = 30  # of a caption or a question with what stands around it
_UNKNOWN = (0, 0, 0)


@dataclass(frozen=True)
class DataFacts:
    """source, target: tokens of an example in a batch, padding included; longest: of both, at most.

    examples: by split, 0 where nothing is known of it. trimmed: batches have lengths of their own, since much
    would be padding. measured: of prepared data; else estimated by the config and the catalogue.
    """

    source: int
    target: int
    longest: int
    vocabulary: int
    examples: dict[str, int]
    trimmed: bool
    measured: bool


def data_facts(config: RunConfig) -> DataFacts:
    """Facts of the data that are there, if they are; a file that cannot be read counts as absent."""
    try:
        return _measured(config)
    except (OSError, ValueError, KeyError, TypeError):
        return estimated_facts(config)


def _measured(config: RunConfig) -> DataFacts:
    import numpy as np

    if config.dataset.hash is None:
        raise ValueError("only planned")
    folder = RESULTS.dataset(config.dataset.name, config.dataset.hash) / "prepared" / config.prepared_name
    meta = cast(dict[str, Any], _json(folder / "meta.json"))
    facts, vocabulary = meta["facts"], _vocabulary(folder / "tokenizer.json")
    if config.kind == "pretrain":
        examples = {split: facts["captions"][split] + facts["questions"][split] for split in facts["images"]}
        longest = int(meta["longest"])
        return DataFacts(longest, longest, longest, vocabulary, examples, False, True)
    ids = [np.load(folder / f"train_{side}_ids.npy", mmap_mode="r") for side in ("source", "target")]
    widths = [int(array.shape[1]) for array in ids]
    filled = [int(np.count_nonzero(array != meta["special_ids"]["pad"])) for array in ids]
    trimmed = sum(filled) < sum(array.size for array in ids) / 2  # and grouped by length
    means = [-(-count // len(array)) for count, array in zip(filled, ids, strict=True)]
    lengths = means if trimmed else widths
    examples = dict(facts["examples"])
    return DataFacts(lengths[0], lengths[1], sum(widths) + 1, vocabulary, examples, trimmed, True)


def _json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _vocabulary(path: Path) -> int:
    found = _json(path)
    pieces = found["model"]["vocab"]  # an object, or a list of pairs
    names = set(cast(list[str], [piece if isinstance(piece, str) else piece[0] for piece in pieces]))
    return len(names | {token["content"] for token in found["added_tokens"]})


def estimated_facts(config: RunConfig) -> DataFacts:
    """Facts by the config and the catalogue alone, whatever is there."""
    vocabulary = config.tokenizer.vocabulary or PRETRAINED_VOCABULARY
    examples = planned_examples(config)
    if config.kind == "pretrain":
        source = target = _PRETRAINING_TOKENS
    else:
        task = TASKS[config.task]
        source, target = task.source_tokens, min(task.target_tokens, config.answers.max_length)
    return DataFacts(source, target, source + target + 1, vocabulary, examples, False, False)


def planned_examples(data: DataSpec) -> dict[str, int]:
    """Examples by split as the config and the catalogue say; none of a split that nobody knows."""
    record, options = data.dataset.record, data.dataset.options
    names = ("train", "validation", *record.tests(options))
    tasks = ("vqa", "captioning") if data.task == "pretraining" else (data.task,)
    found = dict.fromkeys(names, 0)
    for task in tasks:
        sizes = record.sizes.get(task, _UNKNOWN)
        for number, split in enumerate(names):
            size, first = sizes[min(number, 2)], split == "train"
            if record.generated:
                size *= int(cast(int, options[f"{'test' if number > 1 else split}_images"]))
            if data.dataset.limit is not None:
                limit = dict(data.dataset.limit)[split if number < 2 else "test"]
                limit *= TASKS[task].targets if first else 1
                size = min(size, limit) if size else limit
            found[split] += size
    return found
