"""Two processes with half a batch each: the mean of their gradients, for the student and for the losses."""

import socket

import pytest
import torch
import torch.multiprocessing

from tests.distil import ranks
from tests.distil.pairs import batch

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def came(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(ranks.rank_main, (str(folder), port), nprocs=2)
    return [torch.load(folder / f"{rank}.pt") for rank in range(2)]


def _expected(by_tokens: bool):
    """One process's step; by_tokens: Trainer's own loss, which counts the tokens of both halves alike."""
    whole = batch(4)
    student, distiller = ranks.made(whole)
    tokens = [int((ranks.share(whole, rank)["labels"][:, 1:] != -100).sum()) for rank in range(2)]
    loss = 0.0
    for rank in range(2):
        parts = distiller(ranks.share(whole, rank))
        share = tokens[rank] / sum(tokens) if by_tokens else 0.5
        loss = loss + share * parts.output.loss + 0.5 * parts.total
    loss.backward()
    return [
        parameter.detach() - ranks.RATE * parameter.grad
        for parameter in [*student.parameters(), *distiller.parameters()]
    ]


@pytest.mark.parametrize("how", ["loop", "trainer"])
def test_a_step_of_two_processes(came, how):
    """Trainer shuffles: its halves are other rows, whose means have the same mean."""
    first, second = (found[how] for found in came)
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    for found, expected in zip(first, _expected(how == "trainer"), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
