"""Predictions of a model for a split: greedy or beam search, or the best of given answers; deterministic."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from amad_bench.data.images.table import ImageTable
from amad_bench.data.tasks.batches import evaluation_order
from amad_bench.data.tasks.data import Split
from amad_bench.data.tasks.loader import batches
from amad_bench.data.text.tokenizer import Tokenizer
from amad_bench.plan.config.training import Decoding
from amad_bench.runtime.precision import FP32, Precision, forward_pass
from amad_bench.runtime.ranks import ALONE, Ranks


def decode(
    model: nn.Module,
    split: Split,
    images: ImageTable,
    tokenizer: Tokenizer,
    decoding: Decoding,
    device: str | torch.device,
    batch: int,
    image_rows: np.ndarray | None = None,
    workers: int = 0,
    candidates: Sequence[str] = (),
    ranks: Ranks = ALONE,
    precision: Precision = FP32,
) -> list[str]:
    """The predicted text of every example, in the split's order. `workers`: processes that read images.

    `decoding`: max_length (tokens of the target, its end included) and beams (1 = greedy); with `rank`, the
    answer is one of `candidates` instead: of the `rank` best by their first token, the most probable.
    `batch`: texts written at once, the beams of an example together: with the batch of the training it takes
    less memory than that did.
    `image_rows` (N,) shows other images than the examples' own, for the blind control. The model, on
    `device`, is used in evaluation mode; its mode is restored. `ranks`: take turns at whole batches, and all
    get all texts. ValueError: nothing to rank.
    """
    if image_rows is not None:
        if len(image_rows) != len(split):
            raise ValueError(f"{len(image_rows)} image rows for {len(split)} examples")
        split = split.with_image_rows(image_rows)
    rank = decoding.rank
    if rank and not candidates:
        raise ValueError("decoding asks for the best of the candidate answers, and there are none")
    answer_ids_AL = _answers(tokenizer, candidates).to(device) if rank else None
    order = evaluation_order(split, max(1, batch // decoding.beams))
    order = islice(order, ranks.rank, None, ranks.world)
    loader = batches(split, images, order, device, workers)
    own: dict[int, str] = {}
    with evaluating(model), torch.no_grad(), closing(loader):
        for rows, examples in loader:
            if rank:
                with forward_pass(precision, device):
                    best_B = model.rank(**examples.inputs, answer_ids_AL=answer_ids_AL, k=rank)  # pyright: ignore[reportCallIssue]
                found = [candidates[best] for best in best_B.tolist()]
            else:
                with forward_pass(precision, device):
                    ids_BL = model.generate(  # pyright: ignore[reportCallIssue]
                        **examples.inputs,
                        max_new_tokens=decoding.max_length,
                        num_beams=decoding.beams,
                        do_sample=False,
                    )
                found = [tokenizer.decode(ids) for ids in ids_BL.tolist()]
            own |= dict(zip(rows.tolist(), found, strict=True))
    texts = {row: text for part in ranks.gathered(own) for row, text in part.items()}
    return [texts[row] for row in range(len(split))]


def _answers(tokenizer: Tokenizer, texts: Sequence[str]) -> Tensor:
    """Token ids (A, L) of the texts, with EOS, padded."""
    rows = [torch.tensor([*tokenizer.encode(text), tokenizer.eos]) for text in texts]
    return pad_sequence(rows, batch_first=True, padding_value=tokenizer.pad)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside the block; afterwards each module is in the mode it was in before."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
