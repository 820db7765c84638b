"""Batches of VL-T5's pre-training tasks."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from amad_bench.data.batch import IGNORED
from amad_bench.data.pretraining.batches import Ids, Words, padded, text_arguments
from amad_bench.data.pretraining.data import PretrainingData
from amad_bench.data.pretraining.split import PretrainingSplit
from amad_bench.data.text.pretraining_text import corrupt_spans
from amad_bench.models.vlt5.pretraining import MATCHED, MISMATCHED, PREFIXES, PRETRAIN_TASKS
from amad_bench.plan.catalogue.families import VLT5 as RECORD


class Instance(NamedTuple):
    """One text to read and one to write, without EOS; image_row -1: no image."""

    task: str
    source: Ids
    target: Ids
    image_row: int


class Vlt5Batches:
    """Makes batches for VL-T5; each task as in the official code (j-min/VL-T5, src/pretrain_data.py).

    Arguments of Vlt5Pretrainer: tasks_B (numbers of PRETRAIN_TASKS), input_ids, attention_mask (B, L), labels
    (B, T), -100 = padding, and what the image table gives. ValueError: captions of one image alone, which
    cannot be mismatched.
    """

    def __init__(self, split: PretrainingSplit, data: PretrainingData, condition: str) -> None:
        self.split, self.data, self.tokenizer = split, data, data.tokenizer
        self.words = Words(data.tokenizer)
        # by their numbers, the last one first in the vocabulary
        self.sentinels, self.regions = (
            [data.tokenizer.id_of(name) for name in reversed(names)]
            for names in (RECORD.tokens.sentinels, RECORD.tokens.regions)
        )
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
        source_BL = padded([[*instance.source, eos] for instance in made], pad)
        labels_BT = padded([[*instance.target, eos] for instance in made], IGNORED)
        image_rows_B = np.array([instance.image_row for instance in made])
        return {
            "tasks_B": torch.tensor([PRETRAIN_TASKS.index(instance.task) for instance in made]),
            **text_arguments(source_BL, pad),
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
        return [self.regions[region]], self.words.all(phrases[region])

    def _corrupted(self, text: str, generator: np.random.Generator) -> tuple[Ids, Ids]:
        source, target = corrupt_spans(self.words.each(text), lambda i: [self.sentinels[i]], generator)
        return [token for ids in source for token in ids], [token for ids in target for token in ids]

    def _prefixed(self, task: str, source: Ids, target: Ids, image_row: int) -> Instance:
        return Instance(task, [*self.words.all(PREFIXES[task]), *source], target, int(image_row))
