"""The texts of one split that a model is pre-trained on, and how many instances they make."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PretrainingSplit:
    """C captions, Q questions and M images with named regions; rows are those of the image table.

    answers: a question's answer -> score. phrases: what each region shows, in the model's order, or "".
    longest: ids of the longest caption or question, its EOS and (for blip) its start token included.
    """

    captions: Sequence[str]
    caption_rows_C: np.ndarray
    questions: Sequence[str]
    answers: Sequence[dict[str, float]]
    question_rows_Q: np.ndarray
    phrases: Sequence[list[str]]
    phrase_rows_M: np.ndarray
    longest: int

    def parts(self, family: str, condition: str) -> dict[str, int]:
        """Number of instances of each kind in one epoch, in the order of their numbers.

        `vl` of vlt5 by task, as in the official data set: each caption once for `lm` and once for `itm`, each
        question for `qa`, each image with named regions for `ground_caption` and `refer`. `text`: captions
        and questions. `vl` of blip: captions.
        """
        captions, questions, images = len(self.captions), len(self.questions), len(self.phrases)
        if condition == "text":
            return {"captions": captions, "questions": questions}
        if family == "blip":
            return {"captions": captions}
        return {"lm": captions, "qa": questions, "itm": captions, "ground_caption": images, "refer": images}

    def instances(self, family: str, condition: str) -> int:
        """Number of instances in one epoch."""
        return sum(self.parts(family, condition).values())
