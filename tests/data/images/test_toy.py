"""A kind of image input that is not ours: a class in the plan and a file of its name, nothing else."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from pydantic import Field, ValidationError

import amad_bench.data.images
from amad_bench.data.scenes.scene import make_scene
from amad_bench.data.tasks.batches import make_batch
from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.plan.config.inputs import INPUTS, ImageInputs
from amad_bench.plan.config.messages import explain
from amad_bench.plan.config.numbers import Few
from amad_bench.plan.config.schema import Config
from amad_bench.training.run_model import fresh_model
from tests.planned import SCENES, small_config

BINS = 5


class HistogramInputs(ImageInputs):
    """How often each of an image's red, green and blue is in one of equal ranges: one region."""

    implementation = "Histogram"
    gives = "regions"

    kind: Literal["histogram"] = Field(description="histograms of colours")
    bins: Few = Field(description="ranges of a colour")

    @property
    def phrase(self) -> str:
        return f"histograms of {self.bins} ranges"

    @property
    def regions(self) -> int:
        return 1

    @property
    def feature_size(self) -> int:
        return 3 * self.bins


HISTOGRAM = """
from dataclasses import dataclass

import numpy as np
import torch

from amad_bench.data.images.kind import ImageKind
from amad_bench.data.images.table import ImageTable, mapped, rows_of


class Histogram(ImageKind):
    def write(self, job):
        bins = self.inputs.bins
        shares_MF = job.new_array("shares", np.float32, 3 * bins)
        for row, name in enumerate(job.names):
            pixels_PC = np.asarray(job.photos.open_image(name)).reshape(-1, 3)
            ranges_PC = pixels_PC.astype(int) * bins // 256
            shares_MF[row] = [(ranges_PC[:, c] == b).mean() for c in range(3) for b in range(bins)]
        return {}

    @staticmethod
    def load(folder, ids, facts):
        return Histograms(ids, mapped(folder / "shares.npy"))


@dataclass(frozen=True)
class Histograms(ImageTable):
    ids: object
    shares_MF: np.ndarray

    @property
    def feature_size(self):
        return self.shares_MF.shape[1]

    def read(self, rows_B):
        return {"shares": rows_of(self.shares_MF, rows_B), "there": rows_B >= 0}

    def to_tensors(self, arrays, device):
        there_B = torch.from_numpy(arrays["there"]).to(device)
        return {
            "vis_feats": torch.from_numpy(arrays["shares"]).to(device)[:, None],
            "boxes": torch.tensor([0.0, 0.0, 1.0, 1.0], device=device) * there_B[:, None, None],
            "vis_attention_mask": there_B[:, None].long(),
        }
"""


@pytest.fixture
def histogram(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, object]]:
    """The mapping of a config that asks for them, once the plan has the class and a folder the file."""
    (tmp_path / "kinds").mkdir()
    (tmp_path / "kinds" / "histogram.py").write_text(HISTOGRAM)
    places = [*amad_bench.data.images.__path__, str(tmp_path / "kinds")]
    monkeypatch.setattr(amad_bench.data.images, "__path__", places)
    monkeypatch.setitem(INPUTS, "histogram", HistogramInputs)
    yield {"kind": "histogram", "bins": BINS}
    sys.modules.pop("amad_bench.data.images.histogram", None)


def test_it_is_planned_prepared_and_seen(histogram, scenes_config):
    config = scenes_config("vlt5", "vqa", inputs=histogram)
    assert config.canonical()["inputs"] == histogram
    data = load_task_data(config)
    assert data.facts["features"] == "histograms of 5 ranges"
    second = np.unique(data.test.image_rows_N)[1]
    row = int(np.flatnonzero(data.test.image_rows_N == second)[0])
    image_SS3 = make_scene(SCENES["seed"], "test", 1).image_SS3
    edges = np.linspace(0, 256, BINS + 1)
    expected = [np.histogram(image_SS3[..., channel], edges)[0] / 48**2 for channel in range(3)]
    batch = make_batch(data.test, data.images, np.array([row, row]), "cpu")
    np.testing.assert_allclose(batch.inputs["vis_feats"][1, 0], np.concatenate(expected), rtol=1e-6)
    model = fresh_model(config, data)
    loss = model(**batch.inputs, labels=batch.labels_BL).logits.logsumexp(-1).sum()
    loss.backward()
    assert torch.isfinite(loss)
    sizes = [tuple(p.shape) for p in model.parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert (16, 3 * BINS) in sizes  # the projection of what it sees has learnt from the loss


def test_mistakes_are_those_of_any_kind(histogram):
    plain = small_config("vlt5", "vqa").model_dump()

    def lines(inputs) -> list[str]:
        plain["models"]["vlt5"]["inputs"] = inputs
        with pytest.raises(ValidationError) as caught:
            Config.model_validate(plain)
        return [line for error in caught.value.errors() for line in explain(error, Config)]

    assert lines({"kind": "histogram", "bin": 5}) == [
        "models.vlt5.inputs.bins: missing; add this key",
        "models.vlt5.inputs.bin: unknown key. Did you mean 'bins'?",
    ]
    assert lines({**histogram, "kind": "histograms"}) == [
        "models.vlt5.inputs.kind: unknown kind of inputs 'histograms'. Did you mean 'histogram'?"
    ]
    with pytest.raises(ValueError, match=r"models\.blip\.inputs\.kind: blip sees pixels, found 'histogram'"):
        small_config("blip", "vqa", inputs=histogram)
