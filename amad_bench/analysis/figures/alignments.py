"""Heat maps of the alignment of heads over a training: of one run, and of a typical one of each family."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from amad_bench.analysis.alignments import aligned_steps, snapshots
from amad_bench.analysis.figures.drawing import FINE, GREY, PALETTE, SIZE, STYLE, Frame
from amad_bench.analysis.figures.files import write_drawing
from amad_bench.analysis.figures.sheet import WIDTH, Drawing, Page, finish
from amad_bench.analysis.figures.titles import family_and_task, head_gap
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.run_folder.folder import RunFolder

TITLE = "Alignment of heads over a training"
NOTHING = "No finished run has a loss that aligns heads."
ROW = 1.38  # inches of a layer
MOST = 5  # layers on a page
DASHES = (2, 2)
NOTE = (
    "Weights of the student's heads (across) for each of the teacher's heads (down), mean over the samples "
    "of a batch; a row sums to 1; one scale of colours per layer. Entropy in nats, mean over teacher heads; "
    "dashed: all weights alike."
)


@dataclass(frozen=True)
class _Layer:
    """name: what is drawn. maps: alignment_HG by step, some of those logged. entropies: by step, of all."""

    name: str
    maps: dict[int, np.ndarray]
    entropies: dict[int, float]


def draw_typical(runs: Frame, alignments: Frame) -> Drawing:
    """A row per aligned layer of the typical run of each family, whose weights the table `alignments` has."""
    layers: list[_Layer] = []
    notes = [NOTE, "Typical: of the family's AMAD runs the one whose last sharpness is the median."]
    typical = alignments.loc[alignments["weights"] != "", "run_id"]
    for run_id in dict.fromkeys(typical):
        own = alignments[alignments["run_id"] == run_id]
        run = runs[runs["run_id"] == run_id].iloc[0]
        notes.append(f"{family_and_task(run)}: run {run_id}.")
        for (site, layer), part in own.groupby(["site", "layer"], sort=False):
            maps = part[part["weights"] != ""]
            layers.append(
                _Layer(
                    f"{family_and_task(run)} · {head_gap(run)} · {run['loss']} · {site} {layer}",
                    {int(row["step"]): np.array(json.loads(row["weights"])) for _, row in maps.iterrows()},
                    dict(zip(part["step"], part["entropy"], strict=True)),
                )
            )
    if not layers:
        return Drawing(TITLE, nothing=NOTHING)
    return Drawing(TITLE, _pages(TITLE, layers, notes))


def draw_run(run_folder: RunFolder, figures_folder: Path) -> list[Path]:
    """Write alignment-<run id>.{pdf,png,svg} from the run's step log; the paths written.

    A row per aligned layer: heat maps of its alignment at steps spread over the training, then their entropy
    over all logged steps. UserError for a run without any.
    """
    steps = aligned_steps(run_folder.steps)
    if not steps:
        raise UserError(
            f"{run_folder.steps}: no alignment of heads is logged; choose a run whose loss aligns heads"
        )
    shown = [steps[number] for number in snapshots(len(steps))]
    layers = [
        _Layer(
            key,
            {step.step: np.array(step.alignment[key].rows) for step in shown},
            {step.step: step.alignment[key].entropy for step in steps},
        )
        for key in steps[0].alignment
    ]
    with matplotlib.rc_context(STYLE):
        drawing = Drawing(TITLE, _pages(f"{TITLE}: {run_folder.id}", layers, [NOTE]))
        return write_drawing(drawing, figures_folder / f"alignment-{run_folder.id}")[1]


def _pages(title: str, layers: Sequence[_Layer], notes: Sequence[str]) -> list[Page]:
    starts = range(0, len(layers), MOST)
    return [_page(title, layers[start : start + MOST], notes) for start in starts]


def _page(title: str, layers: Sequence[_Layer], notes: Sequence[str]) -> Page:
    columns = max(len(layer.maps) for layer in layers) + 1
    figure = Figure(figsize=(WIDTH, ROW * len(layers) + 0.2), layout="constrained")
    ratios = [1.0] * (columns - 1) + [1.5]
    rows: Any = figure.subplots(len(layers), columns, squeeze=False, width_ratios=ratios)
    for axes, layer in zip(rows, layers, strict=True):
        _maps(figure, axes[:-1], layer)
        _entropy(axes[-1], layer)
    return finish(figure, title, notes)


def _maps(figure: Figure, axes: Sequence[Axes], layer: _Layer) -> None:
    top = max(weights_HG.max() for weights_HG in layer.maps.values())
    image: Any = None
    for ax, (step, weights_HG) in zip(axes, layer.maps.items(), strict=False):
        image = ax.imshow(
            weights_HG, vmin=0, vmax=top, cmap="viridis", aspect="auto", interpolation="nearest"
        )
        for axis, heads in ((ax.yaxis, weights_HG.shape[0]), (ax.xaxis, weights_HG.shape[1])):
            axis.set_ticks(range(0, heads, 1 + heads // 9))
        ax.grid(visible=False)
        ax.set_xlabel(f"Student head\nStep {step:,}", fontsize=FINE)
    axes[0].set_ylabel("Teacher head")
    axes[0].set_title(" ")  # keeps the room, which the name itself would take in its own column alone
    above: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "bottom"}
    name = axes[0].annotate(layer.name, (0, 1), xytext=(0, 5), weight="bold", fontsize=SIZE, **above)
    name.set_in_layout(False)
    for ax in axes[1 : len(layer.maps)]:
        ax.set_yticklabels([])
    for ax in axes[len(layer.maps) :]:
        ax.remove()  # another layer has more steps
    figure.colorbar(image, ax=axes[len(layer.maps) - 1], label="Weight")


def _entropy(ax: Axes, layer: _Layer) -> None:
    student_heads = next(iter(layer.maps.values())).shape[1]
    ax.plot(list(layer.entropies), list(layer.entropies.values()), color=PALETTE[0], linewidth=1.2)
    ax.axhline(np.log(student_heads), dashes=DASHES, **GREY)
    ax.set_xlabel("Step")
    ax.set_ylabel("Entropy (nats)")
    ax.margins(y=0.15)
