"""The heat map of a run's alignments."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from amad_bench.analysis import alignments
from amad_bench.analysis.alignments import draw_alignments
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.run_folder.folder import RunFolder

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUMBERS = {"step": 1, "learning_rate": 0.1, "loss": 1.0, "gradient_norm": 1.0}


def _weights(step: int) -> list[list[float]]:
    return [[0.5 + step / 200, 0.5 - step / 200], [0.25, 0.75], [0.5, 0.5]]


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "vlt5-vqa-h3to2-amad_kl"
    folder.mkdir()
    rows = [
        NUMBERS
        | {
            "step": step,
            "alignment": {
                "encoder.self/1": {
                    "entropy": 0.6,
                    "largest_weight": 0.7,
                    "changed_share": None,
                    "rows": _weights(step),
                }
            },
        }
        for step in range(0, 100, 10)
    ]
    rows.insert(3, {"step": 25, "validation_loss": 1.0})
    (folder / "steps.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def test_what_is_drawn(run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    real = alignments.write_figure
    monkeypatch.setattr(
        alignments, "write_figure", lambda figures, path: drawn.extend(figures) or real(figures, path)
    )
    paths = draw_alignments(RunFolder(run_folder), tmp_path / "figures")
    assert [path.name for path in paths] == [f"alignment-{run_folder.name}.{s}" for s in ("pdf", "png")]
    assert all(path.stat().st_size > 1000 for path in paths)
    maps: list[Axes] = [ax for ax in drawn[0].axes if ax.images and ax.get_title().startswith("step")]
    assert [ax.get_title() for ax in maps] == ["step 0", "step 20", "step 40", "step 70", "step 90"]
    for ax in maps:
        shown = np.asarray(ax.images[0].get_array())
        assert shown.tolist() == _weights(int(ax.get_title().split()[1]))


def test_a_run_without_alignments(run_folder: Path, tmp_path: Path) -> None:
    (run_folder / "steps.jsonl").write_text(json.dumps(NUMBERS))
    with pytest.raises(UserError, match="no alignment of heads is logged"):
        draw_alignments(RunFolder(run_folder), tmp_path)
    (run_folder / "steps.jsonl").unlink()
    with pytest.raises(UserError, match="train that run first"):
        draw_alignments(RunFolder(run_folder), tmp_path)
