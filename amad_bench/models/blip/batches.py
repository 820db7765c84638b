"""Batches of BLIP's pre-training."""

import numpy as np
import torch
from torch import Tensor

from amad_bench.data.pretraining.batches import Words, padded, text_arguments
from amad_bench.data.pretraining.data import PretrainingData
from amad_bench.data.pretraining.split import PretrainingSplit
from amad_bench.data.text.pretraining_text import mask_ids


class BlipBatches:
    """Makes batches for BLIP: captions with their images, or captions and questions with masked words.

    Arguments of BlipVisionLanguage or BlipMlm: input_ids, attention_mask (B, L), and for `text` labels
    (B, L), for `vl` pixel_values and image_ids (B).
    """

    def __init__(self, split: PretrainingSplit, data: PretrainingData, condition: str) -> None:
        self.split, self.data, self.condition = split, data, condition
        self.words = Words(data.tokenizer)

    def __call__(
        self, numbers_B: np.ndarray, generator: np.random.Generator, device: str | torch.device
    ) -> dict[str, Tensor]:
        tokenizer, captions = self.data.tokenizer, len(self.split.captions)
        numbers = [int(number) for number in numbers_B]
        texts = [
            self.split.captions[n] if n < captions else self.split.questions[n - captions] for n in numbers
        ]
        ids = [[tokenizer.start, *self.words.all(text), tokenizer.eos] for text in texts]
        ids_BT = padded(ids, tokenizer.pad)
        if self.condition == "text":
            return self._masked(ids_BT, generator)
        image_rows_B = np.asarray(self.split.caption_rows_C[numbers_B])
        return {
            **text_arguments(ids_BT, tokenizer.pad),
            "image_ids": torch.from_numpy(image_rows_B.astype(np.int64)),
            **self.data.images.batch(image_rows_B, device),
        }

    def _masked(self, ids_BT: np.ndarray, generator: np.random.Generator) -> dict[str, Tensor]:
        tokenizer = self.data.tokenizer
        input_BT, labels_BT = mask_ids(
            ids_BT, tokenizer.special.given, tokenizer.mask, tokenizer.size, generator
        )
        return {
            **text_arguments(ids_BT, tokenizer.pad),
            "input_ids": torch.from_numpy(input_BT),
            "labels": torch.from_numpy(labels_BT),
        }
