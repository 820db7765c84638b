"""The texts of one split that a model is pre-trained on, and how many instances they make."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from amad_bench.plan.catalogue import FAMILIES


@dataclass(frozen=True)
class PretrainingSplit:
    """C captions, Q questions and M images with named regions; rows are those of the image table.

    answers: a question's answer -> score. phrases: what each region shows, in the model's order, or "".
    longest: ids of the longest caption or question, its EOS and, in families with one, its start included.
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
        """Number of instances of each kind in one epoch, in the order of their numbers."""
        counts = {
            "captions": len(self.captions),
            "questions": len(self.questions),
            "phrases": len(self.phrases),
        }
        parts = FAMILIES[family].pretraining[condition].parts
        return {kind: counts[made_of] for kind, made_of in parts.items()}

    def instances(self, family: str, condition: str) -> int:
        """Number of instances in one epoch."""
        return sum(self.parts(family, condition).values())
