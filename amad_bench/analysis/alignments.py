"""Figure of the teacher head that teaches each student head, over the training of one run."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from amad_bench.analysis.drawing import STYLE, write_figure
from amad_bench.runtime.errors import UserError
from amad_bench.runtime.run_folder.folder import RunFolder
from amad_bench.runtime.run_folder.steps import TrainingStep, read_training

SNAPSHOTS = 5  # heat maps per layer, from the first to the last logged step


def draw_alignments(run_folder: RunFolder, figures_folder: Path) -> list[Path]:
    """Write alignment-<run id>.{pdf,png} from the run's step log; the paths written.

    A row per aligned layer: heat maps of its alignment (teacher heads down, student heads across) at steps
    spread over the training, then their entropy over all logged steps. UserError for a run without any.
    """
    steps = _logged(run_folder.steps)
    keys = list(steps[0].alignment)
    with matplotlib.rc_context(STYLE):
        return write_figure(
            [_figure(run_folder.id, steps, keys)], figures_folder / f"alignment-{run_folder.id}"
        )


def _logged(path: Path) -> list[TrainingStep]:
    steps = [step for step in read_training(path) if step.alignment]
    if not steps:
        raise UserError(f"{path}: no alignment of heads is logged; choose a run whose loss aligns heads")
    return steps


def _figure(title: str, steps: list[TrainingStep], keys: list[str]) -> Figure:
    shown = np.unique(np.linspace(0, len(steps) - 1, SNAPSHOTS).round().astype(int))
    figure = Figure(figsize=(1.5 * (len(shown) + 1.4), 1.7 * len(keys) + 0.5), layout="constrained")
    figure.suptitle(title, fontsize=8.5)
    axes = figure.subplots(len(keys), len(shown) + 1, squeeze=False)
    for row, key in zip(axes, keys, strict=True):
        weights_SHG = [np.array(steps[step].alignment[key].rows) for step in shown]
        top = max(weights_HG.max() for weights_HG in weights_SHG)
        for ax, step, weights_HG in zip(row, shown, weights_SHG, strict=False):
            ax.imshow(weights_HG, vmin=0, vmax=top, cmap="viridis", aspect="auto")
            ax.set_title(f"step {steps[step].step}")
            ax.set_xticks(range(weights_HG.shape[1]))
            ax.set_yticks(range(weights_HG.shape[0]))
            ax.grid(visible=False)
            ax.set_xlabel("student head")
        row[0].set_ylabel(f"{key}\nteacher head")
        figure.colorbar(row[0].images[0], ax=row[len(shown) - 1])  # all maps of a row have one scale
        entropies = [step.alignment[key].entropy for step in steps]
        row[-1].plot([step.step for step in steps], entropies)
        row[-1].axhline(np.log(weights_SHG[0].shape[1]), color="0.35", linewidth=1, dashes=(2, 2))
        row[-1].set_xlabel("step")
        row[-1].set_title("entropy (dashed: all alike)")
    return figure
