"""Data of pre-trainings here, and their batches."""

from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from amad_bench.data.pretraining.batches import pretraining_batches
from amad_bench.data.pretraining.data import PretrainingData, load_pretraining
from amad_bench.data.tasks.batches import BatchOrder
from amad_bench.models.family import implementation_of
from amad_bench.plan.catalogue import FAMILIES
from tests.planned import planned_config


@pytest.fixture
def data_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """data_of(family, condition): what it is pre-trained on here, few scenes below tmp_path."""
    monkeypatch.chdir(tmp_path)

    def load(family: str, condition: str) -> PretrainingData:
        config = planned_config(family, "vqa", kind="pretrain", condition=condition, vocabulary=400)
        return load_pretraining(config)

    return load


def batches(
    data: PretrainingData, family: str, condition: str, batch: int, steps: int, seed: int = 0
) -> list[dict[str, Tensor]]:
    """The arguments of each batch."""
    make = implementation_of(FAMILIES[family]).batch_maker(data.train, data, condition)
    instances = data.train.instances(family, condition)
    generator = np.random.default_rng(seed)
    made = pretraining_batches(make, BatchOrder(instances, batch, generator), steps, generator, "cpu")
    return [one.arguments for one in made]
