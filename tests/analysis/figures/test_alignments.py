"""Heat maps of alignments: of one run, and of the typical ones of a sweep."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from amad_bench.analysis.figures import alignments
from amad_bench.analysis.figures.alignments import NOTHING, draw_run, draw_typical
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.run_folder.folder import RunFolder
from tests.analysis.figures.frames import SETTING, drawn

NUMBERS = {"step": 1, "learning_rate": 0.1, "loss": 1.0, "gradient_norm": 1.0}


def _weights(step: int) -> list[list[float]]:
    return [[0.5 + step / 200, 0.5 - step / 200], [0.25, 0.75], [0.5, 0.5]]


def _line(step: int, layers: int = 1) -> dict:
    one = {"entropy": 0.6, "largest_weight": 0.7, "changed_share": None, "rows": _weights(step)}
    return NUMBERS | {"step": step, "alignment": {f"encoder.self/{layer}": one for layer in range(layers)}}


def maps(figure):
    return [ax for ax in figure.axes if ax.images and ax.get_xlabel().startswith("Student head")]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch):
    """What was drawn."""
    drawings, real = [], alignments.write_drawing
    monkeypatch.setattr(alignments, "write_drawing", lambda *given: drawings.append(given[0]) or real(*given))
    return drawings


@pytest.mark.parametrize(("layers", "pages"), [(1, [1]), (7, [5, 2])])
def test_the_maps_of_one_run(tmp_path: Path, layers: int, pages: list[int], written):
    folder = tmp_path / "vlt5-vqa-h3to2-amad_kl"
    folder.mkdir()
    rows = [_line(step, layers) for step in range(0, 100, 10)]
    rows.insert(3, {"step": 25, "validation_loss": 1.0})
    (folder / "steps.jsonl").write_text("\n".join(map(json.dumps, rows)))
    paths = draw_run(RunFolder(folder), tmp_path / "figures")
    assert {path.suffix for path in paths} == {".pdf", ".png", ".svg"}
    assert all(path.name.startswith(f"alignment-{folder.name}") for path in paths)
    figures = [page.figure for page in written[0].pages]
    assert [len(maps(figure)) for figure in figures] == [5 * count for count in pages]
    for ax in maps(figures[0]):
        shown = np.asarray(ax.images[0].get_array())
        assert shown.tolist() == _weights(int(ax.get_xlabel().split()[-1]))
    steps = [ax.get_xlabel().split()[-1] for ax in maps(figures[0])][:5]
    assert steps == ["0", "20", "40", "70", "90"]


def test_a_run_without_alignments(tmp_path: Path):
    (tmp_path / "steps.jsonl").write_text(json.dumps(NUMBERS))
    with pytest.raises(UserError, match="no alignment of heads is logged"):
        draw_run(RunFolder(tmp_path), tmp_path)
    (tmp_path / "steps.jsonl").unlink()
    with pytest.raises(UserError, match="train that run first"):
        draw_run(RunFolder(tmp_path), tmp_path)


def table(shown: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    runs = pd.DataFrame([SETTING | {"run_id": run, "loss": "amad_kl"} for run in ("one", "typical")])
    rows = [
        {"run_id": run, "step": step, "site": "encoder.self", "layer": 1, "entropy": 0.6 - step / 1000}
        | {"weights": json.dumps(_weights(step)) if shown and run == "typical" and step != 20 else ""}
        for run in ("one", "typical")
        for step in (0, 20, 40)
    ]
    return runs, pd.DataFrame(rows)


def test_the_typical_run_of_a_sweep_is_drawn_and_named():
    drawing = drawn(draw_typical, *table(True))
    (page,) = drawing.pages
    first, last = maps(page.figure)
    assert np.asarray(first.images[0].get_array()).tolist() == _weights(0)
    assert np.asarray(last.images[0].get_array()).tolist() == _weights(40)
    assert "VL-T5 · VQA: run typical." in page.notes
    (curve,) = [ax for ax in page.figure.axes if ax.get_ylabel() == "Entropy (nats)"]
    assert np.allclose(curve.lines[0].get_xydata(), [[0, 0.6], [20, 0.58], [40, 0.56]])
    assert curve.lines[1].get_ydata()[0] == pytest.approx(np.log(2))


def test_a_sweep_that_aligns_nothing():
    assert draw_typical(*table(False)).nothing == NOTHING
