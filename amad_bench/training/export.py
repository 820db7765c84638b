"""A run's trained model as a folder for others."""

from pathlib import Path

from amad_bench.data.tasks.prepare import load_task_data
from amad_bench.models.export import export_model
from amad_bench.plan.run import Run
from amad_bench.runtime.files import atomic_directory, refuse_existing
from amad_bench.training.finished import finished_folder, with_weights
from amad_bench.training.run_model import trained_model


def export_run(run: Run, folder: Path) -> None:
    """Writes the folder, see `models/export.py`; complete or not at all.

    UserError: a folder that is there, a run that was not trained to its end, a pre-training.
    """
    refuse_existing(folder)
    checkpoint = with_weights(finished_folder(run)).checkpoint
    data = load_task_data(run.config)
    model = trained_model(run.config, data, checkpoint).eval()
    with atomic_directory(folder) as temporary:
        export_model(model, data.tokenizer, run.config, temporary)
