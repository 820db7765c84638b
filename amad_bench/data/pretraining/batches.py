"""Batches of the pre-training tasks: what is masked, mismatched or asked is drawn anew each time."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from amad_bench.data.batch import IGNORED, PretrainingBatch
from amad_bench.data.pretraining.data import PretrainingData
from amad_bench.data.pretraining.split import PretrainingSplit
from amad_bench.data.tasks.batches import batch_order
from amad_bench.data.text.pretraining_text import (
    MATCHED,
    MISMATCHED,
    PREFIXES,
    PRETRAIN_TASKS,
    corrupt_spans,
    mask_ids,
)
from amad_bench.data.text.tokenizer import Tokenizer

Ids = list[int]


class Instance(NamedTuple):
    """One text to read and one to write, without EOS; image_row -1: no image."""

    task: str
    source: Ids
    target: Ids
    image_row: int


def pretraining_batches(
    split: PretrainingSplit,
    data: PretrainingData,
    family: str,
    condition: str,
    batch: int,
    steps: int,
    generator: np.random.Generator,
    device: str | torch.device,
) -> Iterator[PretrainingBatch]:
    """`steps` batches of exactly `batch` instances: every one comes once, with the others of all tasks in one
    shuffled order, before any comes again.

    Arguments of vlt5: tasks_B (numbers of PRETRAIN_TASKS), input_ids, attention_mask (B, L), labels (B, T),
    -100 = padding, and what the image table gives; of blip: input_ids, attention_mask (B, L), and for `text`,
    masked words, labels (B, L), for `vl` pixel_values and image_ids (B). Lengths are those of the batch's
    longest text. Equal generators give equal batches. ValueError: no instance, or captions of one image
    alone, which cannot be mismatched.
    """
    words = _Words(data.tokenizer)
    make = _Vlt5(split, data, condition, words) if family == "vlt5" else _Blip(split, data, condition, words)
    for numbers_B in batch_order(split.instances(family, condition), batch, steps, generator):
        made = make(numbers_B, generator, device)
        yield PretrainingBatch({name: tensor.to(device) for name, tensor in made.items()})


class _Words:
    """Ids of texts, word by word: each word is encoded once, and white space is all one."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._ids = cache(tokenizer.encode)

    def each(self, text: str) -> list[Ids]:
        return [self._ids(word) for word in text.split()]

    def all(self, text: str) -> Ids:
        return [token for ids in self.each(text) for token in ids]


class _Vlt5:
    """Makes batches for VL-T5; each task as in the official code (j-min/VL-T5, src/pretrain_data.py)."""

    def __init__(self, split: PretrainingSplit, data: PretrainingData, condition: str, words: _Words) -> None:
        self.split, self.data, self.words, self.tokenizer = split, data, words, data.tokenizer
        parts = split.parts("vlt5", condition)
        self.names, self.firsts = list(parts), np.cumsum([0, *parts.values()])
        self.makers = {
            "captions": self.masked_caption,
            "questions": self.masked_question,
            "lm": self.lm,
            "qa": self.qa,
            "itm": self.itm,
            "ground_caption": self.ground_caption,
            "refer": self.refer,
        }
        rows_C = split.caption_rows_C
        if condition == "vl" and len(rows_C) and (rows_C == rows_C[0]).all():
            raise ValueError("image-text matching needs captions of at least two images")

    def __call__(
        self, numbers_B: np.ndarray, generator: np.random.Generator, device: str | torch.device
    ) -> dict[str, Tensor]:
        made = [self.instance(int(number), generator) for number in numbers_B]
        eos, pad = self.tokenizer.eos, self.tokenizer.pad
        source_BL = _padded([[*instance.source, eos] for instance in made], pad)
        labels_BT = _padded([[*instance.target, eos] for instance in made], IGNORED)
        image_rows_B = np.array([instance.image_row for instance in made])
        return {
            "tasks_B": torch.tensor([PRETRAIN_TASKS.index(instance.task) for instance in made]),
            **_texts(source_BL, pad),
            "labels": torch.from_numpy(labels_BT),
            **self.data.images.batch(image_rows_B, device),
        }

    def instance(self, number: int, generator: np.random.Generator) -> Instance:
        part = int(np.searchsorted(self.firsts, number, side="right")) - 1
        return self.makers[self.names[part]](number - int(self.firsts[part]), generator)

    def masked_caption(self, row: int, generator: np.random.Generator) -> Instance:
        return Instance("lm", *self._corrupted(self.split.captions[row], generator), -1)

    def masked_question(self, row: int, generator: np.random.Generator) -> Instance:
        return Instance("lm", *self._corrupted(self.split.questions[row], generator), -1)

    def lm(self, row: int, generator: np.random.Generator) -> Instance:
        source, target = self._corrupted(self.split.captions[row], generator)
        return self._prefixed("lm", source, target, self.split.caption_rows_C[row])

    def qa(self, row: int, generator: np.random.Generator) -> Instance:
        answers = self.split.answers[row]
        scores = np.array(list(answers.values()))
        answer = list(answers)[generator.choice(len(answers), p=scores / scores.sum())]
        source, target = self.words.all(self.split.questions[row]), self.words.all(answer)
        return self._prefixed("qa", source, target, self.split.question_rows_Q[row])

    def itm(self, row: int, generator: np.random.Generator) -> Instance:
        """A caption with its image, half the time one of another image."""
        rows_C = self.split.caption_rows_C
        shown, matched = row, generator.random() >= 0.5
        while not matched and rows_C[shown] == rows_C[row]:
            shown = int(generator.integers(len(rows_C)))
        source, target = self.split.captions[shown], MATCHED if matched else MISMATCHED
        return self._prefixed("itm", self.words.all(source), self.words.all(target), rows_C[row])

    def ground_caption(self, row: int, generator: np.random.Generator) -> Instance:
        region, phrase = self._region(row, generator)
        return self._prefixed("ground_caption", region, phrase, self.split.phrase_rows_M[row])

    def refer(self, row: int, generator: np.random.Generator) -> Instance:
        region, phrase = self._region(row, generator)
        return self._prefixed("refer", phrase, region, self.split.phrase_rows_M[row])

    def _region(self, row: int, generator: np.random.Generator) -> tuple[Ids, Ids]:
        """One of the regions with a phrase: its token, and its phrase."""
        phrases = self.split.phrases[row]
        named = [region for region, phrase in enumerate(phrases) if phrase]
        region = named[generator.integers(len(named))]
        return [self.tokenizer.visual(region)], self.words.all(phrases[region])

    def _corrupted(self, text: str, generator: np.random.Generator) -> tuple[Ids, Ids]:
        source, target = corrupt_spans(
            self.words.each(text), lambda i: [self.tokenizer.sentinel(i)], generator
        )
        return [token for ids in source for token in ids], [token for ids in target for token in ids]

    def _prefixed(self, task: str, source: Ids, target: Ids, image_row: int) -> Instance:
        return Instance(task, [*self.words.all(PREFIXES[task]), *source], target, int(image_row))


class _Blip:
    """Makes batches for BLIP: captions with their images, or captions and questions with masked words."""

    def __init__(self, split: PretrainingSplit, data: PretrainingData, condition: str, words: _Words) -> None:
        self.split, self.data, self.condition, self.words = split, data, condition, words

    def __call__(
        self, numbers_B: np.ndarray, generator: np.random.Generator, device: str | torch.device
    ) -> dict[str, Tensor]:
        tokenizer, captions = self.data.tokenizer, len(self.split.captions)
        numbers = [int(number) for number in numbers_B]
        texts = [
            self.split.captions[n] if n < captions else self.split.questions[n - captions] for n in numbers
        ]
        ids = [[tokenizer.start, *self.words.all(text), tokenizer.eos] for text in texts]
        ids_BT = _padded(ids, tokenizer.pad)
        if self.condition == "text":
            return self._masked(ids_BT, generator)
        image_rows_B = np.asarray(self.split.caption_rows_C[numbers_B])
        return {
            **_texts(ids_BT, tokenizer.pad),
            "image_ids": torch.from_numpy(image_rows_B.astype(np.int64)),
            **self.data.images.batch(image_rows_B, device),
        }

    def _masked(self, ids_BT: np.ndarray, generator: np.random.Generator) -> dict[str, Tensor]:
        special = self.data.tokenizer.special
        if special.mask is None:
            raise ValueError("the tokenizer has no mask token: it is not one for blip's pre-training")
        input_BT, labels_BT = mask_ids(
            ids_BT, special.given, special.mask, self.data.tokenizer.size, generator
        )
        return {
            **_texts(ids_BT, special.pad),
            "input_ids": torch.from_numpy(input_BT),
            "labels": torch.from_numpy(labels_BT),
        }


def _texts(ids_BL: np.ndarray, pad: int) -> dict[str, Tensor]:
    input_ids_BL = torch.from_numpy(ids_BL)
    return {"input_ids": input_ids_BL, "attention_mask": (input_ids_BL != pad).long()}


def _padded(texts: Sequence[Ids], pad: int) -> np.ndarray:
    """One array (B, length of the longest) int64."""
    padded_BL = np.full((len(texts), max(map(len, texts))), pad, np.int64)
    for row, ids in enumerate(texts):
        padded_BL[row, : len(ids)] = ids
    return padded_BL
