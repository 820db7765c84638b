"""What each of two processes does in test_ranks.py: a step in a loop of its own, and one in a Trainer."""

import os
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel
from transformers import Trainer, TrainingArguments

from amad_bench import Distiller
from amad_bench.distil import DistillingMixin
from tests.distil.pairs import batch, llama

LOSSES = {"amad": 1.0, "hidden_mse": 1.0}
RATE = 0.1


class DistillingTrainer(DistillingMixin, Trainer):
    pass


def made(whole: dict[str, Tensor], seed: int = 3) -> tuple[Any, Distiller]:
    student = llama(2, 1, seed=2)
    distiller = Distiller(llama(4, 2, seed=1), student, LOSSES, layer_map="uniform", seed=seed)
    distiller.materialise(whole)
    return student, distiller


def share(whole: dict[str, Tensor], rank: int) -> dict[str, Tensor]:
    """Every second row, as a distributed sampler gives them."""
    return {name: tensor[rank::2] for name, tensor in whole.items()}


def weights(student: Any, distiller: Distiller) -> list[Tensor]:
    return [parameter.detach().clone() for parameter in [*student.parameters(), *distiller.parameters()]]


def in_a_loop(rank: int, whole: dict[str, Tensor]) -> list[Tensor]:
    student, distiller = made(whole, seed=3 + rank)  # others' weights: the wrapper gives all the first one's
    reducing, wrapped = DistributedDataParallel(distiller), DistributedDataParallel(student)
    parts = reducing(share(whole, rank), student=wrapped)
    optimizer = torch.optim.SGD([*student.parameters(), *distiller.parameters()], lr=RATE)
    (parts.output.loss + parts.total).backward()
    optimizer.step()
    return weights(student, distiller)


def in_a_trainer(folder: Path, whole: dict[str, Tensor]) -> list[Tensor]:
    student, distiller = made(whole)
    rows = [{name: tensor[i] for name, tensor in whole.items()} for i in range(4)]
    arguments = TrainingArguments(
        str(folder / "trainer"),
        per_device_train_batch_size=2,
        max_steps=1,
        optim="sgd",
        learning_rate=RATE,
        lr_scheduler_type="constant",
        max_grad_norm=0.0,
        save_strategy="no",
        report_to=[],
        use_cpu=True,
        ddp_backend="gloo",
        dataloader_pin_memory=False,
    )
    DistillingTrainer(model=student, args=arguments, train_dataset=rows, distiller=distiller).train()
    return weights(student, distiller)


def rank_main(rank: int, folder: str, port: int) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    whole = batch(4)
    found = {"trainer": in_a_trainer(Path(folder), whole), "loop": in_a_loop(rank, whole)}
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()
